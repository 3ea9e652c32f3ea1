"""Convolution, pass by pass, against PyTorch in the faster of its two memory formats.

python bench/compare_ops.py --shapes bench/shapes/resnet50.txt --passes fwd,bwd_input,bwd_weight --threads 1
python bench/compare_ops.py --shapes bench/shapes/*.txt --rounds 7      all of them, with a summary by kind of layer
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
    pad: tuple[int, int]  # of rows, of columns
    dilation: int
    groups: int

    @property
    def out(self) -> tuple[int, int]:
        def size(i: int, k: int, pad: int) -> int:
            return (i + 2 * pad - self.dilation * (k - 1) - 1) // self.stride + 1

        return size(self.h, self.kh, self.pad[0]), size(self.w, self.kw, self.pad[1])

    @property
    def regime(self) -> str:
        """The kind of layer that the summary counts it under."""
        channels = min(self.c, self.o) // self.groups
        if self.h == self.w == 1:
            return "linear (1x1 map)"
        if self.groups == self.c:
            return "depthwise"
        if self.groups > 1:
            return "grouped, 4-16 a group" if channels <= 16 else "grouped, wider"
        if self.c <= 3:
            return "first layer"
        if (self.kh, self.kw) == (1, 1) or self.stride > 1:
            return "1x1 and strided"
        if (self.kh, self.kw) != (3, 3):
            return "5x5 and others"
        if channels >= 64:
            return "3x3, >= 64, map >= 14" if min(self.out) >= 14 else "3x3, >= 64, smaller map"
        return "3x3, 16-32 channels" if channels <= 32 else "3x3, 33-63 channels"

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
    """Columns: name N C H W O kH kW stride pad dilation groups; pad is one number, or rows,columns."""
    layers = []
    for line in path.read_text().splitlines():
        if words := line.split("#")[0].split():
            name, *sizes, pad, dilation, groups = words
            rows, *columns = map(int, pad.split(","))
            layers.append(Layer(name, *map(int, sizes), (rows, *(columns or [rows])), int(dilation), int(groups)))
    return layers


def convcore_call(layer: Layer, which: str, x: np.ndarray, w: np.ndarray, dy: np.ndarray) -> Callable[[], np.ndarray]:
    attributes = {
        "stride": [layer.stride] * 2,
        "padding": [layer.pad[0], layer.pad[0], layer.pad[1], layer.pad[1]],
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
    stride, padding, dilation = [layer.stride] * 2, layer.pad, [layer.dilation] * 2
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
    # Winograd's documented bound is a share of the largest output.
    error, bound = float(np.abs(got - expected).max()), 8 * np.finfo(np.float32).eps * max(terms, 64)
    bound = max(bound, 2e-5 * float(np.abs(expected).max()))
    if not (got.shape == expected.shape and error <= bound):
        raise SystemExit(f"{layer.name} {which}: wrong result, differs by {error:.2e} (bound {bound:.2e})")


@dataclass(frozen=True)
class Result:
    layer: Layer
    which: str
    ratio: float  # PyTorch's median / convcore's
    share: float  # of the peak


def compare(layer: Layer, passes: list[str], peak: float, rounds: int) -> Iterator[Result]:
    rng = np.random.default_rng(0)

    def normal(n: int, h: int, w: int, c: int) -> np.ndarray:
        return rng.standard_normal((n, h, w, c), dtype=np.float32).transpose(0, 3, 1, 2)

    x, dy = normal(layer.n, layer.h, layer.w, layer.c), normal(layer.n, *layer.out, layer.o)
    w = rng.standard_normal((layer.o, layer.c // layer.groups, layer.kh, layer.kw), dtype=np.float32)
    for which in passes:
        ours = convcore_call(layer, which, x, w, dy)
        formats = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
        theirs = {name: torch_call(layer, which, x, w, dy, f) for name, f in formats.items()}
        for call in theirs.values():
            check(layer, which, ours(), call().numpy())
        own, *peers = alternate([ours, *theirs.values()], rounds)
        name, peer = min(zip(theirs, peers, strict=True), key=lambda pair: pair[1].median)
        ratio, gflop = peer.median / own.median, layer.flops / 1e9
        share = gflop / own.median / peak
        print(
            f"{layer.name:<18} {which:<10} |          {own} {gflop / own.median:8.1f} {share:6.0%}"
            f" |         {name:<13} {peer} {gflop / peer.median:8.1f} | {ratio:5.2f}",
            flush=True,
        )
        yield Result(layer, which, ratio, share)


def summarize(title: str, results: list[Result], passes: list[str]) -> None:
    """Geometric mean of the ratios, the least one, and how many are below 1, for each pass."""
    cells = []
    for which in passes:
        of_pass = [r for r in results if r.which == which]
        ratios = [r.ratio for r in of_pass]
        losses = sum(ratio < 1 for ratio in ratios)
        share = geometric_mean([r.share for r in of_pass])
        cells.append(f"{geometric_mean(ratios):5.2f} {min(ratios):5.2f} {losses:3d}/{len(ratios):<3d} {share:5.0%}")
    print(f"{title:<24} | " + " | ".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shapes = Path(__file__).parent / "shapes"
    parser.add_argument("--shapes", type=Path, nargs="+", default=[shapes / "resnet50.txt"])
    parser.add_argument("--passes", default=",".join(PASSES), help="of " + ",".join(PASSES))
    parser.add_argument("--layers", default="", help="only layers whose name contains this")
    parser.add_argument("--batch", type=int, default=0, help="this batch size instead of the file's")
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
    print(f"{args.threads} thread(s), ISA {_core.isa()}, PyTorch {torch.__version__}")
    print(f"measured peak of the threads: {peak:.1f} GFLOP/s; ratio = PyTorch's median / convcore's, more is better")
    title = f"{'layer':<18} {'pass':<10} | convcore {HEADER} {'GFLOP/s':>8} {'%peak':>6}"
    print(f"{title} | PyTorch {'format':<13} {HEADER} {'GFLOP/s':>8} | ratio")

    by_file: dict[str, list[Result]] = {}
    for path in args.shapes:
        print(f"-- {path.name}")
        for layer in read_layers(path):
            if args.layers in layer.name:
                layer = replace(layer, n=args.batch or layer.n)
                by_file.setdefault(path.name, []).extend(compare(layer, passes, peak, args.rounds))

    print("\nratios: geometric mean, least, slower than PyTorch; geometric mean of % of peak")
    print(" " * 24 + " | " + " | ".join(f"{which:<26}" for which in passes))
    for name, results in by_file.items():
        summarize(name, results, passes)
    everything = [r for results in by_file.values() for r in results]
    for regime in sorted({r.layer.regime for r in everything}):
        summarize(regime, [r for r in everything if r.layer.regime == regime], passes)


if __name__ == "__main__":
    main()
