"""ONNX networks in convcore, onnxruntime, OpenVINO and ncnn: latency, throughput, load time, memory, size.

python bench/compare_inference.py net.onnx ...               latency of one image, throughput of eight, 1 and 2 threads
python bench/compare_inference.py nets/*.onnx --threads 1 --runtimes convcore,onnxruntime --batches 1

Every runtime runs in a process of its own (bench/inference_worker.py); they take turns, A B A B. All outputs are first
checked against onnxruntime's. A peer that refuses a network, or computes something else, is named, and left out of its
row.
"""

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from timing import Timing, geometric_mean, machine

RUNTIMES = ("convcore", "onnxruntime", "openvino", "ncnn")
WORKER = Path(__file__).with_name("inference_worker.py")
TOLERANCE = 1e-4  # of the largest output
UNKNOWN = 224  # what a dimension without a size becomes


class RefusedError(Exception):
    """Why a runtime cannot be compared."""


class Worker:
    """A runtime's process."""

    def __init__(self, runtime: str, threads: int) -> None:
        self.runtime, self.threads = runtime, threads
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen([sys.executable, str(WORKER)], text=True, **pipes)

    def ask(self, *command: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(*command, file=self._process.stdin, flush=True)
            answer = json.loads(self._process.stdout.readline() or '{"error": "the process ended"}')
        except BrokenPipeError:
            answer = {"error": "the process ended"}
        if "error" in answer:
            raise RefusedError(answer["error"])
        return dict(answer)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def fixed(path: Path, batch: int) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """The model for one batch size, and random inputs. Reshapes to a batch of 1 keep the batch instead. A Softmax at
    the end is left out: of random weights' large logits it is 1 and 0, or magnifies rounding: it hides mistakes."""
    model = onnx.load(path)
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    rng, inputs = np.random.default_rng(0), {}
    for value in graph.input:
        if value.name in weights:
            continue
        dims = value.type.tensor_type.shape.dim
        shape = [batch, *(dim.dim_value or UNKNOWN for dim in dims[1:])]
        for dim, size in zip(dims, shape, strict=True):
            dim.dim_value = size
        inputs[value.name] = rng.standard_normal(shape).astype(np.float32)
    for node in graph.node:
        shape = weights.get(node.input[1]) if node.op_type == "Reshape" and node.input[0] not in weights else None
        if shape is not None and (sizes := numpy_helper.to_array(shape).copy())[0] == 1:
            sizes[0] = 0
            shape.CopyFrom(numpy_helper.from_array(sizes, shape.name))
    last = graph.node[-1]
    if last.op_type == "Softmax" and last.output[0] == graph.output[0].name:
        graph.output[0].name = last.input[0]
        del graph.node[-1]
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    return model, inputs


@contextmanager
def workers(
    path: Path, folder: Path, batch: int, threads: int, runtimes: Sequence[str]
) -> Iterator[dict[str, tuple[Worker, float]]]:
    """A worker of each runtime that takes the network, with the seconds its loading took; outputs checked."""
    model, inputs = fixed(path, batch)
    one = folder / "one.onnx"
    onnx.save(model, folder / "model.onnx")
    onnx.save(fixed(path, 1)[0], one)
    np.savez(folder / "inputs.npz", **inputs)
    loaded: dict[str, tuple[Worker, float]] = {}
    expected: list[np.ndarray] = []
    try:
        for runtime in sorted(runtimes, key=lambda name: name != "onnxruntime"):  # its output is the reference
            worker = Worker(runtime, threads)
            try:
                source = one if runtime == "ncnn" else folder / "model.onnx"
                seconds = worker.ask("load", runtime, source, threads, folder / "inputs.npz")["seconds"]
                worker.ask("output", folder / "outputs.npz")
                with np.load(folder / "outputs.npz") as file:
                    outputs = [file[name] for name in file.files]
                expected = expected or outputs
                check(outputs, expected)
                loaded[runtime] = worker, seconds
            except RefusedError as error:
                worker.close()
                if runtime == "convcore":
                    raise SystemExit(f"{path.stem}: convcore: {error}") from None
                print(f"  {path.stem}: {runtime} is left out: {error}", flush=True)
        yield {runtime: loaded[runtime] for runtime in runtimes if runtime in loaded}
    finally:
        for worker, _ in loaded.values():
            worker.close()


def check(outputs: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    """Raises RefusedError where numbers differ, or the best class of scores (N, classes). ncnn's shapes are its own."""
    if [o.size for o in outputs] != [e.size for e in expected]:
        raise RefusedError(f"outputs of {[o.shape for o in outputs]}, expected {[e.shape for e in expected]}")
    for i, (output, wanted) in enumerate(zip(outputs, expected, strict=True)):
        given, wanted = output.astype(np.float64).reshape(wanted.shape), wanted.astype(np.float64)
        error = np.abs(given - wanted).max(initial=0) / max(np.abs(wanted).max(initial=0), 1e-30)
        scores = wanted.ndim > 1 and 0 < wanted.size == wanted.shape[0] * wanted.shape[1]
        best, own = (a.reshape(len(a), -1).argmax(1) if scores else None for a in (wanted, given))
        if not error <= TOLERANCE or (scores and (best != own).any()):
            raise RefusedError(f"output {i} differs from the first runtime's by {error:.1e} of the largest")


def measure(loaded: Mapping[str, tuple[Worker, float]], rounds: int, block: float) -> dict[str, Timing]:
    """In turn: blocks of about `block` seconds of each."""
    repeats, samples = {}, {runtime: [] for runtime in loaded}
    for runtime, (worker, _) in loaded.items():
        repeats[runtime] = max(1, round(block / min(worker.ask("time", 3)["seconds"])))
    for _ in range(rounds):
        for runtime, (worker, _) in loaded.items():
            samples[runtime] += worker.ask("time", repeats[runtime])["seconds"]
    return {runtime: Timing(tuple(seconds)) for runtime, seconds in samples.items()}


def compare(path: Path, batch: int, threads: int, args: argparse.Namespace) -> dict[str, Timing]:
    with (
        tempfile.TemporaryDirectory() as folder,
        workers(path, Path(folder), batch, threads, args.runtimes.split(",")) as loaded,
    ):
        timings = measure(loaded, args.rounds, args.block)
        for runtime, timing in timings.items():
            worker, seconds = loaded[runtime]
            ratio = f"{timing.minimum / timings['convcore'].minimum:5.2f}" if "convcore" in timings else ""
            memory = worker.ask("memory")["bytes"] / 2**20
            print(
                f"{path.stem:<16} {batch:>5} {threads:>7} {runtime:<12} {timing.median * 1e3:9.2f}"
                f" {timing.minimum * 1e3:9.2f} {timing.spread:5.0%} {batch / timing.median:9.1f}"
                f" {seconds:7.2f} {memory:8.0f} | {ratio}",
                flush=True,
            )
    return timings


def summarise(rows: Iterable[tuple[str, int, int, dict[str, Timing]]]) -> None:
    """By batch and threads: geometric means of the best peer's, and of each peer's, time over convcore's; the worst."""
    groups: dict[tuple[int, int], list[tuple[str, dict[str, Timing]]]] = {}
    for name, batch, threads, timings in rows:
        if "convcore" in timings and len(timings) > 1:
            groups.setdefault((batch, threads), []).append((name, timings))
    for (batch, threads), entries in groups.items():
        ratios: dict[str, list[float]] = {"best peer": []}
        for _, timings in entries:
            own = timings["convcore"].minimum
            peers = {runtime: t.minimum / own for runtime, t in timings.items() if runtime != "convcore"}
            ratios["best peer"].append(min(peers.values()))
            for runtime, ratio in peers.items():
                ratios.setdefault(runtime, []).append(ratio)
        worst, name = min(zip(ratios["best peer"], (name for name, _ in entries), strict=True))
        means = ", ".join(f"{who} {geometric_mean(values):.2f}" for who, values in ratios.items())
        print(f"batch {batch}, {threads} thread(s), {len(entries)} networks: {means}; worst {worst:.2f} ({name})")


def installed(runtime: str) -> str:
    """Size of the package's files, and what importing it takes on top of NumPy."""
    folder = Path(str(importlib.import_module(runtime).__file__)).parent
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc")
    code = f"import numpy, time; t = time.perf_counter(); import {runtime}; print(time.perf_counter() - t)"
    times = [float(subprocess.check_output([sys.executable, "-c", code], text=True).split()[-1]) for _ in range(3)]
    return f"{runtime} {size / 2**20:.1f} MiB, import {min(times) * 1e3:.0f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--runtimes", default=",".join(RUNTIMES), help="separated by commas")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, separated by commas")
    parser.add_argument("--batches", default="1,8", help="batch sizes, separated by commas")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--block", type=float, default=0.3, help="seconds of one runtime's turn")
    args = parser.parse_args()
    print(f"{machine()}; ratio = minimum / convcore's, more is better")
    print(", ".join(f"{name} {importlib.import_module(name).__version__}" for name in args.runtimes.split(",")))
    print(
        f"{'network':<16} {'batch':>5} {'threads':>7} {'runtime':<12} {'median ms':>9} {'minimum':>9} {'sprd':>5}"
        f" {'images/s':>9} {'load s':>7} {'peak MiB':>8} | ratio"
    )
    rows = [
        (path.stem, batch, threads, compare(path, batch, threads, args))
        for batch in map(int, args.batches.split(","))
        for threads in map(int, args.threads.split(","))
        for path in args.models
    ]
    summarise(rows)
    for runtime in args.runtimes.split(","):
        print(installed(runtime))


if __name__ == "__main__":
    main()
