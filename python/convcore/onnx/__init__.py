# SPDX-License-Identifier: BSD-3-Clause
"""Networks in ONNX: read, run, trained on, written.

    model = cc.onnx.load("net.onnx")        # a Module: call it, compile it, train it, save it
    cc.onnx.export(model, "net.onnx", (1, 3, 224, 224))

Needs the extra `onnx`: pip install 'convcore[onnx]'. `convcore.onnx.backend` is ONNX's backend interface.
"""

try:
    import onnx as _onnx  # noqa: F401
except ImportError as error:
    raise ImportError("convcore.onnx: needs the onnx package: pip install 'convcore[onnx]'") from error

from .errors import UnsupportedError
from .export import export
from .network import OnnxModel, load

__all__ = ["OnnxModel", "UnsupportedError", "export", "load"]
