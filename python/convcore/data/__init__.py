"""Images with labels: readers for common file formats, a data set in memory, a batch loader.

Readers raise `FileNotFoundError` for what is not there and `ValueError` for what is not as it should be, each with one
sentence that names the file and what was found in it. Files are data: nothing is unpickled or executed.
"""

from .cifar import read_cifar10
from .dataset import ArrayDataset
from .folder import read_image, read_image_folder
from .idx import read_idx, read_idx_pair
from .loader import DataLoader
from .npz import read_npz
from .open import open_dataset

__all__ = [
    "ArrayDataset",
    "DataLoader",
    "open_dataset",
    "read_cifar10",
    "read_idx",
    "read_idx_pair",
    "read_image",
    "read_image_folder",
    "read_npz",
]
