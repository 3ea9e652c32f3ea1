"""Convolution, pass by pass, against PyTorch in the faster of its two memory formats.

python bench/compare_ops.py --shapes bench/shapes/resnet50.txt --passes fwd,bwd_input,bwd_weight --threads 1
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from convcore import _core
from timing import HEADER, alternate, geometric_mean

PASSES = ("fwd", "bwd_input", "bwd_weight")


@dataclass(frozen=True)
class Layer:
    """A line of bench/shapes/*.txt."""

    name: str
    n: int
    c: int
    h: int
    w: int
    o: int
    kh: int
    kw: int
    stride: int
    pad: int
    dilation: int
    groups: int

    @property
    def out(self) -> tuple[int, int]:
        def size(i: int, k: int) -> int:
            return (i + 2 * self.pad - self.dilation * (k - 1) - 1) // self.stride + 1

        return size(self.h, self.kh), size(self.w, self.kw)

    @property
    def products_per_output(self) -> int:
        return self.c // self.groups * self.kh * self.kw

    @property
    def flops(self) -> int:
        """The same for each pass; a multiply-add counts as 2."""
        return 2 * self.n * self.o * self.out[0] * self.out[1] * self.products_per_output

    def terms(self, which: str) -> int:
        """Products summed in one element of the result."""
        if which == "fwd":
            return self.products_per_output
        if which == "bwd_input":
            return self.o // self.groups * self.kh * self.kw
        return self.n * self.out[0] * self.out[1]


def read_layers(path: Path) -> list[Layer]:
    lines = [line.split("#")[0].split() for line in path.read_text().splitlines()]
    return [Layer(line[0], *map(int, line[1:])) for line in lines if line]


def convcore_call(layer: Layer, which: str, x: np.ndarray, w: np.ndarray, dy: np.ndarray) -> Callable[[], np.ndarray]:
    attributes = {
        "stride": [layer.stride] * 2,
        "padding": [layer.pad] * 4,
        "dilation": [layer.dilation] * 2,
        "groups": layer.groups,
    }
    if which == "fwd":  # a compiled Program of this layer
        graph = _core.Graph()
        inputs = [graph.add_input("x", x.shape), graph.add_parameter("w", w.shape), -1]
        graph.set_outputs([graph.add_node("conv2d", layer.name, attributes, inputs)])
        program = _core.Program(graph)
        program.bind([w], [])
        return lambda: program.run([x])[0]
    index = 0 if which == "bwd_input" else 1
    mask = [i == index for i in range(3)]
    return lambda: _core.backward("conv2d", attributes, [x, w, None], [dy], mask)[index]


def torch_call(
    layer: Layer, which: str, x: np.ndarray, w: np.ndarray, dy: np.ndarray, memory_format: torch.memory_format
) -> Callable[[], torch.Tensor]:
    tx, tw, tdy = (torch.from_numpy(np.ascontiguousarray(a)).to(memory_format=memory_format) for a in (x, w, dy))
    stride, padding, dilation = [layer.stride] * 2, [layer.pad] * 2, [layer.dilation] * 2
    if which == "fwd":
        return lambda: torch.nn.functional.conv2d(tx, tw, None, stride, padding, dilation, layer.groups)
    index = 0 if which == "bwd_input" else 1
    mask = [i == index for i in range(3)]
    backward = torch.ops.aten.convolution_backward
    settings = (None, stride, padding, dilation, False, [0, 0], layer.groups, mask)
    return lambda: backward(tdy, tx, tw, *settings)[index]


def check(layer: Layer, which: str, got: np.ndarray, expected: np.ndarray) -> None:
    terms = layer.terms(which)
    # Sums of k normal products have size sqrt(k), and k roundings of that size walk at random: eps * k.
    error, bound = float(np.abs(got - expected).max()), 8 * np.finfo(np.float32).eps * max(terms, 64)
    if not (got.shape == expected.shape and error <= bound):
        raise SystemExit(f"{layer.name} {which}: wrong result, differs by {error:.2e} (bound {bound:.2e})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", type=Path, default=Path(__file__).parent / "shapes" / "resnet50.txt")
    parser.add_argument("--passes", default=",".join(PASSES), help="of " + ",".join(PASSES))
    parser.add_argument("--layers", default="", help="only layers whose name contains this")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    passes = args.passes.split(",")
    if not set(passes) <= set(PASSES):
        parser.error(f"--passes: expected some of {','.join(PASSES)}, got {args.passes}")

    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    _core.set_num_threads(args.threads)
    peak = max(_core.peak_gflops() for _ in range(3)) * args.threads
    print(f"{args.shapes.name}, {args.threads} thread(s), ISA {_core.isa()}, PyTorch {torch.__version__}")
    print(f"measured peak of the threads: {peak:.1f} GFLOP/s; ratio = PyTorch's median / convcore's, more is better")
    title = f"{'layer':<16} {'pass':<10} | convcore {HEADER} {'GFLOP/s':>8} {'%peak':>6}"
    print(f"{title} | PyTorch {'format':<13} {HEADER} {'GFLOP/s':>8} | ratio")

    rng = np.random.default_rng(0)
    ratios: dict[str, list[float]] = {which: [] for which in passes}
    shares: dict[str, list[float]] = {which: [] for which in passes}
    for layer in read_layers(args.shapes):
        if args.layers not in layer.name:
            continue

        def normal(n: int, h: int, w: int, c: int) -> np.ndarray:
            return rng.standard_normal((n, h, w, c), dtype=np.float32).transpose(0, 3, 1, 2)

        x, dy = normal(layer.n, layer.h, layer.w, layer.c), normal(layer.n, *layer.out, layer.o)
        w = rng.standard_normal((layer.o, layer.c // layer.groups, layer.kh, layer.kw), dtype=np.float32)
        for which in passes:
            ours = convcore_call(layer, which, x, w, dy)
            formats = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
            theirs = {name: torch_call(layer, which, x, w, dy, f) for name, f in formats.items()}
            check(layer, which, ours(), theirs["NCHW"]().numpy())
            own, *peers = alternate([ours, *theirs.values()], args.rounds)
            name, peer = min(zip(theirs, peers, strict=True), key=lambda pair: pair[1].median)
            ratio, gflop = peer.median / own.median, layer.flops / 1e9
            ratios[which].append(ratio)
            shares[which].append(gflop / own.median / peak)
            print(
                f"{layer.name:<16} {which:<10} |          {own} {gflop / own.median:8.1f} {shares[which][-1]:6.0%}"
                f" |         {name:<13} {peer} {gflop / peer.median:8.1f} | {ratio:5.2f}",
                flush=True,
            )
    for which in passes:
        if ratios[which]:
            losses = sum(r < 1 for r in ratios[which])
            print(
                f"{which}: geometric mean of ratios {geometric_mean(ratios[which]):.2f}, of % of peak "
                f"{geometric_mean(shares[which]):.0%}; slower than PyTorch in {losses} of {len(ratios[which])} layers"
            )


if __name__ == "__main__":
    main()
