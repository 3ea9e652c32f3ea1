"""Every op in NumPy and float64, forward and backward, with the bound on float32's error. Calls nothing of convcore."""

from . import activations, arithmetic, axes, conv, elementwise, layer_norm, losses, norm, pool, resize, shape
from .common import Array, Attributes, ReferenceOp

OPS: dict[str, ReferenceOp] = {
    **conv.OPS,
    **pool.OPS,
    **activations.OPS,
    **norm.OPS,
    **layer_norm.OPS,
    **losses.OPS,
    **arithmetic.OPS,
    **elementwise.OPS,
    **axes.OPS,
    **shape.OPS,
    **resize.OPS,
}

__all__ = ["OPS", "Array", "Attributes", "ReferenceOp"]
