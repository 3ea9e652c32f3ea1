"""What a functional call costs besides its arithmetic: tiny arrays, against PyTorch. One thread.

python bench/compare_calls.py
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch

import convcore as cc
from convcore import functional as F
from timing import HEADER, alternate, machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    args = parser.parse_args()
    cc.set_num_threads(1)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)

    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((1, 4, 4, 1), dtype=np.float32).transpose(0, 3, 1, 2) for _ in range(2))
    w = rng.standard_normal((1, 1, 3, 3), dtype=np.float32)
    tx, tdy, tw = (torch.from_numpy(np.ascontiguousarray(a)) for a in (x, dy, w))
    peer = torch.nn.functional
    settings = (None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, True, False])
    calls: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "relu": (lambda: F.relu(x), lambda: peer.relu(tx)),
        "max_pool2d": (lambda: F.max_pool2d(x, 2), lambda: peer.max_pool2d(tx, 2)),
        "conv2d": (lambda: F.conv2d(x, w, padding=1), lambda: peer.conv2d(tx, tw, padding=1)),
        "conv2d_backward": (
            lambda: F.conv2d_backward(dy, x, w, padding=1, output_mask=(True, True, False))[:2],
            lambda: torch.ops.aten.convolution_backward(tdy, tx, tw, *settings)[:2],
        ),
    }
    print(f"1 x 1 x 4 x 4, {machine()}, PyTorch {torch.__version__}")
    print(f"{'call':<16} | convcore {HEADER} | PyTorch {HEADER} | ratio (more is better)")
    for name, (own, other) in calls.items():
        for got, expected in zip(*(r if isinstance(r, tuple) else (r,) for r in (own(), other())), strict=True):
            if not np.allclose(got, expected.numpy(), atol=1e-5):
                raise SystemExit(f"{name}: the results disagree")
        ours, theirs = alternate([own, other], args.rounds)
        print(f"{name:<16} |          {ours} |         {theirs} | {theirs.median / ours.median:5.2f}", flush=True)


if __name__ == "__main__":
    main()
