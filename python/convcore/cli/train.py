"""`convcore train`."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import convcore

from .. import nn, optim
from ..data import ArrayDataset, DataLoader, open_dataset
from ..data.dataset import MAX_CLASSES
from ..history import BatchReport
from ..trainer import DivergenceError, Scheduler, Trainer
from . import models
from .errors import fail
from .options import BatchSize, Size, Threads, image_size, set_threads
from .progress import Reporter, reporter
from .run import Run


class OptimizerName(str, Enum):
    """--optimizer"""

    adam = "adam"
    adamw = "adamw"
    sgd = "sgd"
    rmsprop = "rmsprop"
    adagrad = "adagrad"


class ScheduleName(str, Enum):
    """--schedule"""

    one_cycle = "one-cycle"
    cosine = "cosine"
    plateau = "plateau"
    constant = "constant"


# Optimizer of a learning rate and a weight decay, and the learning rate to begin with.
_OPTIMIZERS: dict[str, tuple[Callable[[float, float], optim.Optimizer], float]] = {
    "adam": (lambda lr, decay: optim.Adam(lr, weight_decay=decay), 5e-3),
    "adamw": (lambda lr, decay: optim.AdamW(lr, weight_decay=decay), 5e-3),
    "sgd": (lambda lr, decay: optim.SGD(lr, momentum=0.9, weight_decay=decay, nesterov=True), 0.05),
    "rmsprop": (lambda lr, decay: optim.RMSprop(lr, weight_decay=decay), 1e-3),
    "adagrad": (lambda lr, decay: optim.Adagrad(lr, weight_decay=decay), 1e-2),
}


def train(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="IDX, CIFAR-10 or .npz files, or a folder of images per class.")
    ],
    model: Annotated[str, typer.Option(help=f"One of {', '.join(models.REGISTRY)}.")] = "lenet5",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = 12,
    batch_size: BatchSize = 64,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate; its peak with one-cycle. Default: Adam 0.005.")
    ] = None,
    optimizer: Annotated[OptimizerName, typer.Option(help="Update rule.")] = OptimizerName.adam,
    schedule: Annotated[ScheduleName, typer.Option(help="How the learning rate moves.")] = ScheduleName.one_cycle,
    weight_decay: Annotated[float, typer.Option(help="L2 penalty (decoupled with adamw).")] = 0.0,
    label_smoothing: Annotated[float, typer.Option(help="Between 0 and 1; in all losses shown.")] = 0.1,
    clip_norm: Annotated[float, typer.Option(help="Largest norm of all gradients; 0: any.")] = 0.0,
    val: Annotated[str, typer.Option(metavar="FRACTION|PATH", help="Split off, or read, to validate on.")] = "0.1",
    classes: Annotated[
        int | None, typer.Option(min=1, max=MAX_CLASSES, help="How many; default: the largest label and one.")
    ] = None,
    size: Size = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to. Default: runs/MODEL.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same weights.")] = 0,
    threads: Threads = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Train a network on labelled images.

    Writes model.safetensors (the last weights), history.csv, train.log and a checkpoint to the folder --out.
    """
    set_threads(threads)
    for name, value in (("--lr", lr), ("--weight-decay", weight_decay), ("--clip-norm", clip_norm)):
        if value is not None and not 0 <= value < math.inf:
            raise ValueError(f"{name}: expected a number that is not negative, got {value}")
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"--label-smoothing: expected a number in [0, 1), got {label_smoothing}")
    models.entry(model)
    everything = with_classes(open_dataset(data, split="train", size=image_size(size)), classes)
    training, held_out = split_off(everything, val, image_size(size), seed)
    make, usual = _OPTIMIZERS[optimizer.value]
    rate = usual if lr is None else lr
    settings = {
        "model": model,
        "data": fingerprint(everything),
        "val": val,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": rate,
        "optimizer": optimizer.value,
        "schedule": schedule.value,
        "weight_decay": weight_decay,
        "label_smoothing": label_smoothing,
        "clip_norm": clip_norm,
        "seed": seed,
    }
    convcore.manual_seed(seed)
    batches = DataLoader(training, batch_size, shuffle=True, seed=seed)
    rule = make(rate, weight_decay)
    trainer = Trainer(
        models.build(model, training),
        nn.CrossEntropyLoss(label_smoothing=label_smoothing),
        rule,
        make_schedule(schedule, rule, epochs * len(batches)),
        max_grad_norm=clip_norm,
    )
    run = Run(out if out is not None else Path("runs") / model)
    if resume:
        run.check(settings)
        load_checkpoint(trainer, run.checkpoint)
        run.resume(settings)
    else:
        run.start(settings)
    validation = DataLoader(held_out, 256) if held_out is not None else None
    if trainer.epoch >= epochs:
        run.finish()
        print(f"{run.folder}: all {epochs} epochs are done")
        return
    fit(trainer, run, epochs, batches, validation, models.Signature.of(training))


def load_checkpoint(trainer: Trainer, path: Path) -> None:
    """Raises ValueError naming the file."""
    try:
        trainer.load(path)
    except ValueError as error:
        raise error if str(path) in str(error) else ValueError(f"{path}: {error}") from None


def with_classes(data: ArrayDataset, count: int | None) -> ArrayDataset:
    """The same images with `count` classes. Without it, every class must have images: a gap is a wrong label."""
    if not len(data):
        raise ValueError(f"{data.name}: holds no images")
    data.check_finite()
    if count is not None:
        names = data.classes if len(data.classes) == count else [str(c) for c in range(count)]
        return ArrayDataset(data.images, data.labels, names, name=data.name)
    members = np.bincount(data.labels, minlength=len(data.classes))
    if not members.all():
        index, missing = int(data.labels.argmax()), int(members.argmin())
        raise ValueError(
            f"{data.name}: label {data.labels[index]} at index {index}, but no image has label {missing}: "
            "if that is right, say how many --classes there are"
        )
    return data


def split_off(
    data: ArrayDataset, val: str, size: tuple[int, int] | None, seed: int
) -> tuple[ArrayDataset, ArrayDataset | None]:
    """Training and validation set; `val` is a fraction, 0 for none, or a path."""
    try:
        fraction = float(val)
    except ValueError:
        held_out = open_dataset(val, split="test", size=size or data.shape[1:])
        models.Signature.of(data).check(held_out)
        held_out.check_finite()
        return data, held_out
    if fraction == 0:
        return data, None
    if not 0 < fraction < 1:
        raise ValueError(f"--val: expected a fraction of at least 0 and below 1, or a path, got {val}")
    return data.split(fraction, seed)


def fingerprint(data: ArrayDataset) -> str:
    """Tells other data apart: shape, classes and a checksum."""
    checksum = zlib.crc32(data.labels.tobytes())
    for start in range(0, len(data), 1024):
        checksum = zlib.crc32(data.images[start : start + 1024].tobytes(), checksum)
    return f"{len(data)} images {data.shape} of {len(data.classes)} classes, checksum {checksum:08x}"


def make_schedule(name: ScheduleName, optimizer: optim.Optimizer, steps: int) -> Scheduler | None:
    """A step is a batch."""
    if name is ScheduleName.one_cycle:
        return optim.OneCycleLR(optimizer, max_lr=optimizer.lr, total_steps=steps)
    if name is ScheduleName.cosine:
        cosine = optim.CosineAnnealingLR(optimizer, T_max=steps)
        cosine.interval = "batch"
        return cosine
    return optim.ReduceLROnPlateau(optimizer, patience=3) if name is ScheduleName.plateau else None


class Recorder:
    """Writes the run's files after each epoch, and tells the reporter."""

    def __init__(self, run: Run, show: Reporter, signature: models.Signature, epochs: int) -> None:
        self._run = run
        self._show = show
        self._metadata = signature.metadata()
        self._epochs = epochs

    def on_batch_end(self, trainer: Trainer, report: BatchReport) -> None:
        self._show.batch(report)

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Mapping[str, float]) -> None:
        convcore.save(trainer.model, self._run.model, self._metadata)
        trainer.save(self._run.checkpoint)
        self._run.write_history(trainer.history)
        line = epoch_line(epoch, self._epochs, logs)
        self._run.log(line)
        self._show.line(line)


def epoch_line(epoch: int, epochs: int, logs: Mapping[str, float]) -> str:
    """What is shown and logged of an epoch."""
    parts = [f"epoch {epoch:{len(str(epochs))}}/{epochs}", f"loss {logs['loss']:.4f}  accuracy {logs['accuracy']:.2%}"]
    if "val_loss" in logs:
        parts.append(f"val loss {logs['val_loss']:.4f}  val accuracy {logs['val_accuracy']:.2%}")
    return "  ".join([*parts, f"lr {logs['lr']:.2e}  {logs['seconds']:.2f} s"])


def fit(
    trainer: Trainer,
    run: Run,
    epochs: int,
    batches: DataLoader,
    validation: DataLoader | None,
    signature: models.Signature,
) -> None:
    """Trains the epochs that are left."""
    data = batches.dataset
    held_out = f", {len(validation.dataset)} to validate on" if validation is not None else ""
    print(
        f"{len(data)} images {data.shape} of {len(data.classes)} classes{held_out}; "
        f"{trainer.model.num_parameters():,} parameters; {convcore.get_num_threads()} threads",
        flush=True,
    )
    try:
        with reporter(epochs, len(data), trainer.epoch) as show:
            trainer.fit(batches, epochs - trainer.epoch, validation, callbacks=[Recorder(run, show, signature, epochs)])
    except DivergenceError as error:
        run.log(str(error))
        run.checkpoint.unlink(missing_ok=True)
        fail(str(error))
    except KeyboardInterrupt:
        advice = "--resume goes on" if run.checkpoint.is_file() else "before there was anything to go on with"
        typer.echo(f"convcore: stopped in epoch {trainer.epoch + 1} of {epochs}, {advice}", err=True)
        raise typer.Exit(130) from None
    run.finish()
    total = sum(trainer.history["seconds"])
    print(f"{epochs} epochs in {total:.1f} s, {len(data) * epochs / total:,.0f} images/s: {run.model}", flush=True)
