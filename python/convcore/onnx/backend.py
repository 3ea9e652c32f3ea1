# SPDX-License-Identifier: BSD-3-Clause
"""ONNX's backend interface: `prepare` a model, `run` it. Source: onnx.backend.base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep, namedtupledict

from .network import OnnxModel, load


class ConvcoreRep(BackendRep):  # type: ignore[misc, unused-ignore]
    """A model that is ready to run."""

    def __init__(self, model: OnnxModel) -> None:
        self.model = model

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """inputs: an array, a list of them in the graph's order, or a dict by name. Returns the outputs, which have
        their names too."""
        if isinstance(inputs, Mapping):
            outputs = self.model(**inputs)
        else:
            given = inputs if isinstance(inputs, Sequence) else [inputs]
            outputs = self.model(*given)
        names = self.model.output_names
        made: tuple[Any, ...] = namedtupledict("Outputs", names)(*([outputs] if len(names) == 1 else outputs))
        return made


class ConvcoreBackend(Backend):  # type: ignore[misc, unused-ignore]
    """convcore for ONNX's test runner and tools."""

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device == "CPU"

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> ConvcoreRep:
        """Raises as `convcore.onnx.load`, and ValueError for other devices than the CPU."""
        if not cls.supports_device(device.partition(":")[0]):
            raise ValueError(f"onnx: device must be CPU, got {device!r}")
        return ConvcoreRep(load(model))

    @classmethod
    def run_node(
        cls, node: onnx.NodeProto, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any
    ) -> tuple[Any, ...]:
        """One node on arrays; outputs_info: (dtype, shape) of each output. opset_version: of the node."""
        given = [np.asarray(x) for x in (inputs if isinstance(inputs, Sequence) else [inputs])]
        names = [name for name in node.input if name]
        kinds = [onnx.helper.np_dtype_to_tensor_dtype(x.dtype) for x in given]
        infos = outputs_info or [(given[0].dtype, None)] * len(node.output)
        graph = onnx.helper.make_graph(
            [node],
            "node",
            [onnx.helper.make_tensor_value_info(n, k, x.shape) for n, k, x in zip(names, kinds, given, strict=True)],
            [
                onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(d)), s)
                for n, (d, s) in zip(node.output, infos, strict=True)
                if n
            ],
        )
        version = kwargs.get("opset_version", onnx.defs.onnx_opset_version())
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", version)])
        return cls.prepare(model, device).run(given)


prepare = ConvcoreBackend.prepare
run_model = ConvcoreBackend.run_model
run_node = ConvcoreBackend.run_node
supports_device = ConvcoreBackend.supports_device
is_compatible = ConvcoreBackend.is_compatible
