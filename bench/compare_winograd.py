"""Trains one network twice from the same start, with Winograd and without: the accuracy should be the same.

python bench/compare_winograd.py                                    ResNet-20 on the 5,000 digits of examples/
python bench/compare_winograd.py --data CIFAR_FOLDER --epochs 8     on CIFAR-10, say
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

import convcore as cc
from convcore.data import ArrayDataset, DataLoader, open_dataset

ALGORITHMS = {"Winograd": "auto", "without": "exact"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1] / "examples" / "data" / "mnist5k")
    parser.add_argument("--images", type=int, default=10000, help="at most so many are trained on")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.1, help="the peak of the cycle")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3, help="how many runs of each")
    args = parser.parse_args()

    cc.set_num_threads(args.threads)
    train, test = open_dataset(args.data).split(0.2)
    train, test = some(args.images, train), some(args.images, test)
    print(f"ResNet-20 on {train.name}: {len(train)} images, tested on {len(test)} others, {args.epochs} epochs")
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ALGORITHMS}
    for seed in range(args.seeds):
        for name, algorithm in ALGORITHMS.items():
            loss, accuracy, seconds = run(train, test, algorithm, seed, args)
            found[name].append((loss, accuracy))
            print(f"seed {seed} {name:<9} loss {loss:.4f}, accuracy {accuracy:.2%}, {seconds:.1f} s", flush=True)
    for name, runs in found.items():
        loss, accuracy = (statistics.mean(column) for column in zip(*runs, strict=True))
        print(f"mean   {name:<9} loss {loss:.4f}, accuracy {accuracy:.2%}")


def some(count: int, data: ArrayDataset) -> ArrayDataset:
    """Spread over the whole, because images may be sorted by class."""
    chosen = np.arange(min(count, len(data))) * len(data) // min(count, len(data))
    return ArrayDataset(data.images[chosen], data.labels[chosen], data.classes, name=data.name)


def run(
    train: ArrayDataset, test: ArrayDataset, algorithm: str, seed: int, args: argparse.Namespace
) -> tuple[float, float, float]:
    """The last epoch's training loss, the accuracy on the test images, and seconds."""
    cc.manual_seed(seed)
    mean, std = ([value / 255 for value in values] for values in train.mean_and_std())
    model = cc.models.resnet20(len(train.classes), train.shape[0], mean=mean, std=std).set_algorithm(algorithm)
    batches = DataLoader(train, args.batch, shuffle=True, seed=seed, drop_last=True)
    sgd = cc.optim.SGD(args.lr, momentum=0.9, weight_decay=5e-4)
    schedule = cc.optim.OneCycleLR(sgd, max_lr=args.lr, total_steps=args.epochs * len(batches))
    trainer = cc.Trainer(model, cc.nn.CrossEntropyLoss(), sgd, schedule)
    start = time.perf_counter()
    history = trainer.fit(batches, args.epochs)
    seconds = time.perf_counter() - start
    right = (trainer.predict(test.images).argmax(1) == test.labels).mean()
    return history["loss"][-1], float(right), seconds


if __name__ == "__main__":
    main()
