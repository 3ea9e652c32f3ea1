"""One training step (forward, loss, backward, update) against PyTorch: same network, weights, data and optimizer.

python bench/compare_training.py --network lenet5 --batch 64 --threads 1,2
"""

import argparse

import numpy as np
import torch

import convcore as cc
from networks import NETWORKS
from timing import HEADER, alternate, machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, default="lenet5")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", default="1,2", help="numbers of threads, separated by commas")
    parser.add_argument("--optimizer", choices=("sgd", "adam"), default="sgd")
    parser.add_argument("--rounds", type=int, default=25)
    args = parser.parse_args()

    print(f"{args.network}, batch {args.batch}, {args.optimizer}, {machine()}, PyTorch {torch.__version__}")
    print(f"{'threads':>7} | convcore {HEADER} | PyTorch {'format':<13} {HEADER} | ratio (more is better)")
    for threads in map(int, args.threads.split(",")):
        compare(args.network, args.batch, threads, args.optimizer, args.rounds)


def compare(name: str, batch: int, threads: int, optimizer: str, rounds: int) -> None:
    network = NETWORKS[name]
    torch.set_num_threads(threads)
    cc.set_num_threads(threads)
    rng = np.random.default_rng(0)
    channels, height, width = network.input_shape
    x = rng.standard_normal((batch, height, width, channels), dtype=np.float32).transpose(0, 3, 1, 2)
    y = rng.integers(0, network.classes, batch)

    torch.manual_seed(0)
    weights = network.build(torch.nn).state_dict()
    model = network.build(cc.nn)
    model.load_state_dict({key: value.numpy() for key, value in weights.items()})
    settings = {"lr": 1e-3, "momentum": 0.9} if optimizer == "sgd" else {"lr": 1e-3}
    ours = cc.optim.SGD(**settings) if optimizer == "sgd" else cc.optim.Adam(**settings)
    trainer = cc.Trainer(model, cc.nn.CrossEntropyLoss(), ours)

    def peer(memory_format: torch.memory_format) -> torch.nn.Module:
        module = network.build(torch.nn)
        module.load_state_dict(weights)
        return module.to(memory_format=memory_format)

    loss = torch.nn.CrossEntropyLoss()
    steps = {}
    for label, memory_format in {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}.items():
        module = peer(memory_format)
        kind = torch.optim.SGD if optimizer == "sgd" else torch.optim.Adam
        update = kind(module.parameters(), **settings)
        tx = torch.from_numpy(np.ascontiguousarray(x)).to(memory_format=memory_format)
        ty = torch.from_numpy(y)

        def step(module=module, update=update, tx=tx, ty=ty) -> float:
            update.zero_grad()
            value = loss(module(tx), ty)
            value.backward()
            update.step()
            return value.item()

        steps[label] = step

    for i in range(3):  # equal before, and after two updates
        got, expected = trainer.step(x, y), [step() for step in steps.values()]
        if not np.allclose(got, expected, rtol=1e-4):
            raise SystemExit(f"step {i}: loss {got} differs from PyTorch's {expected}")
    own, *peers = alternate([lambda: trainer.step(x, y), *steps.values()], rounds, block=0.05)
    label, best = min(zip(steps, peers, strict=True), key=lambda pair: pair[1].median)
    print(f"{threads:>7} |          {own} |         {label:<13} {best} | {best.median / own.median:5.2f}", flush=True)


if __name__ == "__main__":
    main()
