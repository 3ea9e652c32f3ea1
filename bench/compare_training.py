"""One training step (forward, loss, backward, update) against PyTorch: same network, weights, data and optimizer.

python bench/compare_training.py --networks lenet5 --batch 64 --threads 1,2
python bench/compare_training.py                  all networks, each with its usual batch
python bench/compare_training.py --memory         the peak memory of each, in a process of its own, beside the times
"""

import argparse
import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from networks import NETWORKS, Network

FORMATS = ("NCHW", "channels_last")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default=",".join(NETWORKS), help="separated by commas, of " + ", ".join(NETWORKS))
    parser.add_argument("--batch", type=int, default=0, help="instead of each network's usual batch")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, separated by commas")
    parser.add_argument("--optimizer", choices=("sgd", "adam"), default="sgd")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--memory", action="store_true", help="also report peak memory")
    parser.add_argument("--peak-of", choices=("convcore", *FORMATS), help=argparse.SUPPRESS)  # the process of --memory
    args = parser.parse_args()
    names = args.networks.split(",")
    if not set(names) <= set(NETWORKS):
        parser.error(f"--networks: expected some of {','.join(NETWORKS)}, got {args.networks}")
    jobs = [
        (name, args.batch or NETWORKS[name].batch, threads)
        for threads in map(int, args.threads.split(","))
        for name in names
    ]
    if args.peak_of:
        print_peak(args.peak_of, *jobs[0], args.optimizer)
        return

    import torch

    from timing import HEADER, machine

    print(f"{args.optimizer}, {machine()}, PyTorch {torch.__version__}; ratio = PyTorch / convcore, more is better")
    print(f"{'network':<13} {'batch':>5} {'threads':>7} | convcore {HEADER} | PyTorch {'format':<13} {HEADER} | ratio")
    for job in jobs:
        compare(*job, args.optimizer, args.rounds)
        if args.memory:
            compare_memory(*job, args.optimizer)


def batch_of(network: Network, batch: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    channels, height, width = network.input_shape
    x = rng.standard_normal((batch, height, width, channels), dtype=np.float32).transpose(0, 3, 1, 2)
    return x, rng.integers(0, network.classes, batch)


def convcore_step(
    network: Network, batch: int, threads: int, optimizer: str, weights: dict[str, np.ndarray] | None = None
) -> Callable[[], float]:
    import convcore as cc

    cc.set_num_threads(threads)
    x, y = batch_of(network, batch)
    model = network.build(cc.nn)
    if weights is not None:
        model.load_state_dict(weights)
    update = cc.optim.SGD(1e-3, momentum=0.9) if optimizer == "sgd" else cc.optim.Adam(1e-3)
    trainer = cc.Trainer(model, cc.nn.CrossEntropyLoss(), update)
    return lambda: trainer.step(x, y)


def torch_step(network: Network, batch: int, threads: int, optimizer: str, memory_format: str) -> Callable[[], float]:
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    form = torch.contiguous_format if memory_format == "NCHW" else torch.channels_last
    x, y = batch_of(network, batch)
    module = network.build(torch.nn).to(memory_format=form)
    loss = torch.nn.CrossEntropyLoss()
    kinds = {"sgd": functools.partial(torch.optim.SGD, momentum=0.9), "adam": torch.optim.Adam}
    update = kinds[optimizer](module.parameters(), lr=1e-3)
    tx = torch.from_numpy(np.ascontiguousarray(x)).to(memory_format=form)
    ty = torch.from_numpy(y)

    def step() -> float:
        update.zero_grad()
        value = loss(module(tx), ty)
        value.backward()
        update.step()
        return value.item()

    return step


def torch_weights(network: Network) -> dict[str, np.ndarray]:
    """What torch_step starts from."""
    import torch

    torch.manual_seed(0)
    return {key: value.numpy() for key, value in network.build(torch.nn).state_dict().items()}


def compare(name: str, batch: int, threads: int, optimizer: str, rounds: int) -> None:
    from timing import alternate

    network = NETWORKS[name]
    step = convcore_step(network, batch, threads, optimizer, torch_weights(network))
    steps = [torch_step(network, batch, threads, optimizer, form) for form in FORMATS]
    for i in range(3):  # equal before, and after two updates
        got, expected = step(), [peer() for peer in steps]
        if not np.allclose(got, expected, rtol=1e-4 * 4**i):
            raise SystemExit(f"{name}: loss {got} of step {i} differs from PyTorch's {expected}")
    own, *peers = alternate([step, *steps], rounds, block=0.05)
    form, best = min(zip(FORMATS, peers, strict=True), key=lambda pair: pair[1].median)
    ratio = best.median / own.median
    print(f"{name:<13} {batch:>5} {threads:>7} |          {own} |         {form:<13} {best} | {ratio:5.2f}", flush=True)


def compare_memory(name: str, batch: int, threads: int, optimizer: str) -> None:
    def peak(of: str) -> float:
        command = [sys.executable, __file__, "--networks", name, "--batch", str(batch), "--threads", str(threads)]
        command += ["--optimizer", optimizer, "--peak-of", of]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    own, *peers = (peak(of) for of in ("convcore", *FORMATS))
    form, least = min(zip(FORMATS, peers, strict=True), key=lambda pair: pair[1])
    print(
        f"    peak memory: convcore {own:.0f} MiB, PyTorch {least:.0f} MiB ({form}), share {own / least:.2f}",
        flush=True,
    )


def print_peak(of: str, name: str, batch: int, threads: int, optimizer: str) -> None:
    """Three steps in this process; prints its largest resident size in MiB.

    From VmHWM (Linux), which begins anew with each program; getrusage's ru_maxrss goes on from the parent's.
    """
    network = NETWORKS[name]
    if of == "convcore":
        step = convcore_step(network, batch, threads, optimizer)
    else:
        step = torch_step(network, batch, threads, optimizer, of)
    for _ in range(3):
        step()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(int(status["VmHWM"].split()[0]) / 1024)


if __name__ == "__main__":
    main()
