"""One runtime in a process of its own, for compare_inference: commands from standard input, answers in JSON lines.

load RUNTIME MODEL THREADS INPUTS.npz   seconds to load and compile a model of fixed shapes for these inputs
output OUTPUTS.npz                       runs once and writes all outputs
time REPEATS                             seconds of each of so many runs, after one that is not counted
memory                                   the process's largest resident size so far, in bytes (VmHWM, Linux)
"""

import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Inputs = dict[str, np.ndarray]
Run = Callable[[Inputs], list[np.ndarray]]


def convcore(model: str, threads: int, inputs: Inputs) -> Run:
    import convcore as cc

    cc.set_num_threads(threads)
    program = cc.compile(cc.onnx.load(model), [x.shape for x in inputs.values()], keep_weights=False)

    def run(inputs: Inputs) -> list[np.ndarray]:
        outputs = program(*inputs.values())
        return list(outputs) if isinstance(outputs, tuple) else [outputs]

    return run


def onnxruntime(model: str, threads: int, inputs: Inputs) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)


def openvino(model: str, threads: int, inputs: Inputs) -> Run:
    import openvino as ov

    core = ov.Core()
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(model, "CPU", hints).create_infer_request()
    return lambda inputs: list(request.infer(inputs, share_inputs=True, share_outputs=True).values())


def ncnn(model: str, threads: int, inputs: Inputs) -> Run:
    """Through pnnx, from the model of one image; ncnn has no batch, so that the images of one go one by one."""
    import ncnn

    folder = Path(tempfile.mkdtemp())
    sizes = ",".join(f"[{','.join(map(str, (1, *x.shape[1:])))}]" for x in inputs.values())
    copy = folder / "model.onnx"
    copy.write_bytes(Path(model).read_bytes())
    subprocess.run(
        ["pnnx", str(copy), f"inputshape={sizes}", "fp16=0"], check=True, cwd=folder, stdout=subprocess.DEVNULL
    )
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    net.load_param(str(folder / "model.ncnn.param"))
    net.load_model(str(folder / "model.ncnn.bin"))

    def run(inputs: Inputs) -> list[np.ndarray]:
        rows = []
        for images in zip(*inputs.values(), strict=True):
            extractor = net.create_extractor()
            for name, image in zip(net.input_names(), images, strict=True):
                extractor.input(name, ncnn.Mat(image).clone())  # the extractor keeps no reference
            rows.append([np.array(extractor.extract(name)[1]).ravel() for name in net.output_names()])
        return [np.stack(output) for output in zip(*rows, strict=True)]

    return run


RUNTIMES = {f.__name__: f for f in (convcore, onnxruntime, openvino, ncnn)}


def peak() -> int:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


class Worker:
    """What the commands work on."""

    run: Run
    inputs: Inputs

    def load(self, runtime: str, model: str, threads: str, inputs: str) -> dict[str, Any]:
        with np.load(inputs) as file:
            self.inputs = {name: file[name] for name in file.files}
        start = time.perf_counter()
        self.run = RUNTIMES[runtime](model, int(threads), self.inputs)
        return {"seconds": time.perf_counter() - start}

    def output(self, path: str) -> dict[str, Any]:
        np.savez(path, *self.run(self.inputs))
        return {}

    def time(self, repeats: str) -> dict[str, Any]:
        self.run(self.inputs)
        seconds = []
        for _ in range(int(repeats)):
            start = time.perf_counter()
            self.run(self.inputs)
            seconds.append(time.perf_counter() - start)
        return {"seconds": seconds}

    def memory(self) -> dict[str, Any]:
        return {"bytes": peak()}


def main() -> None:
    worker, answers = Worker(), sys.stdout
    sys.stdout = sys.stderr  # what a runtime prints is no answer
    for line in sys.stdin:
        command, *arguments = shlex.split(line)
        try:
            answer = getattr(worker, command)(*arguments)
        except Exception as error:  # told to the parent, who goes on without this runtime
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
