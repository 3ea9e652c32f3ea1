"""What training reports: per epoch, and per batch."""

from __future__ import annotations

from typing import NamedTuple


class History(dict[str, list[float]]):
    """One list per key, one entry per epoch: loss, accuracy, val_loss, val_accuracy, lr (of the epoch's last batch),
    seconds. Accuracies are there where targets are labels, val_* where there was a validation."""

    def add(self, logs: dict[str, float]) -> None:
        for key, value in logs.items():
            self.setdefault(key, []).append(value)

    @property
    def epochs(self) -> int:
        return max((len(values) for values in self.values()), default=0)


class BatchReport(NamedTuple):
    """Given to `progress` after every batch. Epochs and batches count from 1; loss and accuracy (nan without labels)
    are the epoch's means so far."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    images: int  # in this batch
    loss: float
    accuracy: float
    images_per_second: float


class Average:
    """Means over the images of many batches, without those whose labels are ignored. summed: each batch's loss is a
    sum, not a mean, over its images."""

    def __init__(self, summed: bool = False) -> None:
        self.images = 0
        self.counted = 0.0  # images that the loss does not ignore
        self._summed = summed
        self._loss = 0.0
        self._right = 0.0
        self._labelled = 0.0

    def add(self, scalars: list[float], images: int, counted: float) -> None:
        """scalars: the batch's loss, and the number of right answers where there are labels."""
        self.images += images
        if not counted:  # the mean of nothing: the loss is nan
            return
        self.counted += counted
        self._loss += scalars[0] * (1 if self._summed else counted)
        if len(scalars) > 1:
            self._right += scalars[1]
            self._labelled += counted

    @property
    def loss(self) -> float:
        return self._loss / self.counted if self.counted else float("nan")

    @property
    def accuracy(self) -> float:
        return self._right / self._labelled if self._labelled else float("nan")

    def logs(self, prefix: str = "") -> dict[str, float]:
        logs = {f"{prefix}loss": self.loss}
        return logs | {f"{prefix}accuracy": self.accuracy} if self._labelled else logs
