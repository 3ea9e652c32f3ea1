"""Trains LeNet-5 on MNIST with convcore and with PyTorch in turn: the same weights to begin with, the same batches, the
same recipe (Adam, one-cycle, label smoothing). Prints training time and accuracy of each, on test data if given.

    python bench/compare_lenet.py --test FOLDER_WITH_T10K_FILES --threads 2
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import convcore as cc
from convcore.data import ArrayDataset, DataLoader, open_dataset
from networks import lenet5

MEAN, STD = 0.1307, 0.3081
SMOOTHING = 0.1
Predict = Callable[[np.ndarray], np.ndarray]  # images to logits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1] / "examples" / "data" / "mnist5k")
    parser.add_argument("--test", type=Path, help="folder with MNIST's t10k files; without it the training data serves")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=5e-3, help="the peak of the cycle")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3, help="how many runs of each")
    args = parser.parse_args()

    train = open_dataset(args.data)
    test = open_dataset(args.test, split="test") if args.test else train
    cc.set_num_threads(args.threads)
    torch.set_num_threads(args.threads)
    print(f"{len(train)} digits, tested on {len(test)}; {args.epochs} epochs, batch {args.batch}, Adam, one-cycle to")
    print(f"{args.lr}; {args.threads} thread(s), ISA {cc.info()['isa']}, PyTorch {torch.__version__}")
    rows = []
    for seed in range(args.seeds):
        cc.manual_seed(seed)
        model = cc.models.lenet5(mean=MEAN, std=STD)
        weights = [torch.from_numpy(np.array(value)) for value in model.state_dict().values()]
        batches = [DataLoader(train, args.batch, shuffle=True, seed=seed) for _ in range(2)]
        ours = train_convcore(model, batches[0], args.epochs, args.lr)
        theirs = train_torch(weights, batches[1], args.epochs, args.lr)
        rows.append((ours[0], accuracy(ours[1](test.images), test), theirs[0], accuracy(theirs[1](test.images), test)))
        print("seed {}: convcore {:.2f} s {:.2%}, PyTorch {:.2f} s {:.2%}".format(seed, *rows[-1]), flush=True)
    own, own_accuracy, peer, peer_accuracy = (statistics.median(column) for column in zip(*rows, strict=True))
    print(
        f"median: convcore {own:.2f} s {own_accuracy:.2%}, PyTorch {peer:.2f} s {peer_accuracy:.2%}; {peer / own:.2f}x"
    )


def train_convcore(model: cc.nn.Module, batches: DataLoader, epochs: int, lr: float) -> tuple[float, Predict]:
    """Seconds, and what predicts."""
    adam = cc.optim.Adam(lr)
    schedule = cc.optim.OneCycleLR(adam, max_lr=lr, total_steps=epochs * len(batches))
    trainer = cc.Trainer(model, cc.nn.CrossEntropyLoss(label_smoothing=SMOOTHING), adam, schedule)
    start = time.perf_counter()
    trainer.fit(batches, epochs)
    return time.perf_counter() - start, trainer.predict


def train_torch(weights: list[torch.Tensor], batches: DataLoader, epochs: int, lr: float) -> tuple[float, Predict]:
    """Seconds, and what predicts. Its images are normalised before the clock starts."""
    model = lenet5(torch.nn)
    with torch.no_grad():
        for parameter, weight in zip(model.parameters(), weights, strict=True):
            parameter.copy_(weight)
    adam = torch.optim.Adam(model.parameters(), lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, max_lr=lr, total_steps=epochs * len(batches))
    loss = torch.nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
    epoch_batches = [
        [(torch.from_numpy(normalised(x)), torch.from_numpy(y)) for x, y in batches] for _ in range(epochs)
    ]
    start = time.perf_counter()
    for epoch in epoch_batches:
        for x, y in epoch:
            adam.zero_grad()
            loss(model(x), y).backward()
            adam.step()
            schedule.step()
    seconds = time.perf_counter() - start

    def predict(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(normalised(images))).numpy()

    return seconds, predict


def normalised(images: np.ndarray) -> np.ndarray:
    return ((np.ascontiguousarray(images) / np.float32(255) - MEAN) / STD).astype(np.float32)


def accuracy(logits: np.ndarray, data: ArrayDataset) -> float:
    return float((logits.argmax(1) == data.labels).mean())


if __name__ == "__main__":
    main()
