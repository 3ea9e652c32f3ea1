"""Training: steps, epochs, evaluation, history and callbacks."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import convcore as cc
from blobs import CLASSES, assert_same_weights, blobs, network, trainer
from checks import assert_same_bits
from convcore import functional as F
from convcore import nn, optim
from reference import Array

X, Y = blobs(16)

# --- steps -------------------------------------------------------------------------------------------------------


def test_a_step_lowers_the_loss() -> None:
    t = trainer()
    x, y = blobs(32)
    losses = [t.step(x, y) for _ in range(20)]
    assert all(isinstance(loss, float) for loss in losses)
    assert losses[-1] < losses[0] / 4
    assert t.step_count == 20


def test_a_step_is_gradients_and_an_update() -> None:
    x, y = blobs(16)
    t = trainer()
    before = t.model.state_dict()
    loss, gradients = cc.value_and_grad(t.model, t.loss)(x, y)
    t.model.load_state_dict(before)  # running statistics moved
    assert t.step(x, y) == loss
    after = t.model.state_dict()
    for name, gradient in gradients.items():
        np.testing.assert_allclose(after[name], before[name] - np.float32(0.05) * gradient, rtol=1e-5, atol=1e-7)


def test_steps_are_the_same_bits_for_any_number_of_threads() -> None:
    models = []
    x, y = blobs(64)
    for threads in (1, 2):
        cc.set_num_threads(threads)
        t = trainer(dropout=0.3)
        for _ in range(5):
            t.step(x, y)
        models.append(t.model)
    assert_same_weights(*models)


def test_the_last_batch_may_be_small() -> None:
    t = trainer()
    for count in (32, 5, 32, 1, 7):
        assert math.isfinite(t.step(*blobs(count, seed=count)))


def test_a_loss_of_ones_own() -> None:
    cc.manual_seed(0)
    model = nn.Linear(3, 1)
    t = cc.Trainer(model, lambda out, target: F.mse_loss(out, target), optim.Adam(lr=0.05))
    x = np.random.default_rng(0).standard_normal((64, 3))
    y = x @ [[1.0], [-2.0], [0.5]] + 3
    for _ in range(400):
        t.step(x, y)
    np.testing.assert_allclose(model.state_dict()["weight"], [[1, -2, 0.5]], atol=0.02)
    np.testing.assert_allclose(model.state_dict()["bias"], [3], atol=0.02)


def test_frozen_layers_stay() -> None:
    t = trainer()
    t.model[1].weight.requires_grad = False
    before = t.model.state_dict()
    t.step(*blobs(16))
    after = t.model.state_dict()
    assert_same_bits(after["1.weight"], before["1.weight"], "frozen")
    assert (after["7.weight"] != before["7.weight"]).any()


def test_edits_reach_the_next_step() -> None:
    """What model(x) sees, a step sees: settings of layers and of the loss."""
    x, y = blobs(16)

    def losses(edit: Callable[[cc.Trainer], None]) -> list[float]:
        t = trainer()
        first = t.step(x, y)
        edit(t)
        return [first, t.step(x, y), t.evaluate((x, y))["loss"]]

    def dropout(t: cc.Trainer) -> None:
        t.model[5].p = 0.9

    def smoothing(t: cc.Trainer) -> None:
        t.loss.label_smoothing = 0.5

    def replaced(t: cc.Trainer) -> None:
        setattr(t.model, "3", nn.Tanh())

    plain = losses(lambda t: None)
    assert losses(lambda t: None) == plain
    for edit in (dropout, smoothing, replaced):
        edited = losses(edit)
        assert edited[0] == plain[0]
        assert edited[1] != plain[1]
        assert edited[2] != plain[2]


def test_other_parameters_need_another_trainer() -> None:
    def frozen(t: cc.Trainer) -> None:
        t.model[1].weight.requires_grad = False

    def replaced(t: cc.Trainer) -> None:
        setattr(t.model, "7", nn.Linear(96, CLASSES))

    for edit in (frozen, replaced):
        t = trainer()
        t.step(X, Y)
        edit(t)
        before = t.model.state_dict()
        for _ in range(2):
            with pytest.raises(ValueError, match=r"parameters .*changed since training began; make a new Trainer"):
                t.step(X, Y)
        for name, value in t.model.state_dict().items():
            assert_same_bits(value, before[name], name)
        assert t.evaluate((X, Y))["loss"] > 0


@pytest.mark.parametrize("name", ["model", "loss", "optimizer"])
def test_parts_are_not_exchanged(name: str) -> None:
    """Programs and the optimizer's state are made of them: another one would be passed over."""
    t = trainer()
    with pytest.raises(AttributeError, match=name):
        setattr(t, name, getattr(trainer(), name))


def test_gradients_are_clipped() -> None:
    t = trainer(max_grad_norm=1e-3)
    before = t.model.state_dict()
    t.step(*blobs(16))
    assert t.last_grad_norm > 1e-3
    moved = math.sqrt(
        sum(float(((t.model.state_dict()[n] - before[n]) ** 2).sum()) for n, _ in t.model.named_parameters())
    )
    assert moved == pytest.approx(0.05 * 1e-3, rel=1e-2)


# --- epochs ------------------------------------------------------------------------------------------------------


def test_fit_learns() -> None:
    t = trainer()
    history = t.fit(blobs(256), epochs=4, validation=blobs(100, seed=1), batch_size=32)
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds"}
    assert all(len(values) == 4 and type(values[0]) is float for values in history.values())
    assert history["val_accuracy"][-1] == 1.0
    assert history["loss"][-1] < history["loss"][0]
    assert t.epoch == 4
    assert t.step_count == 4 * 8
    assert history is t.history


def test_evaluate_and_predict() -> None:
    t = trainer()
    t.fit(blobs(256), epochs=3, batch_size=32)
    x, y = blobs(77, seed=2)
    logits = t.predict(x, batch_size=20)
    assert logits.shape == (77, CLASSES)
    assert_same_bits(t.predict(x), t.model(x), "predictions")
    logs = t.evaluate((x, y), batch_size=30)
    assert logs["accuracy"] == (logits.argmax(1) == y).mean()
    assert logs["loss"] == pytest.approx(float(F.cross_entropy(logits, y)), rel=1e-4)


class Sides(nn.Module):
    """Two inputs, two outputs of different widths."""

    def __init__(self) -> None:
        self.left = nn.Linear(3, 2)
        self.right = nn.Linear(4, 5)

    def forward(self, a: Any, b: Any) -> Any:
        return self.left(a), self.right(b)


def test_predict_takes_and_gives_tuples() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((7, 3)), rng.standard_normal((7, 4))
    model = Sides()
    for size in (2, 7):
        outputs = cc.trainer.predict(model, (a, b), batch_size=size)
        assert [o.shape for o in outputs] == [(7, 2), (7, 5)]
        for output, expected in zip(outputs, model(a, b), strict=True):
            np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ignored", [-100, 1])
def test_ignored_labels_do_not_count(ignored: int) -> None:
    cc.manual_seed(0)
    model = network()
    t = cc.Trainer(model, nn.CrossEntropyLoss(ignore_index=ignored), optim.SGD(lr=0.01))
    x, y = blobs(40)
    y[y == 1] = 0
    y[8:16] = ignored  # whole batches of 4, and one label of others
    y[20] = ignored
    kept = y != ignored
    logs = t.evaluate((x, y), batch_size=4)
    logits = t.predict(x)
    assert logs["accuracy"] == pytest.approx((logits.argmax(1) == y)[kept].mean())
    assert logs["loss"] == pytest.approx(float(F.cross_entropy(logits[kept], y[kept])), rel=1e-5)
    history = t.fit((x, y), validation=(x, y), batch_size=4, shuffle=False)
    assert all(math.isfinite(values[0]) for values in history.values())
    with pytest.raises(ValueError, match="evaluate: data has only labels that the loss ignores"):
        t.evaluate((x[8:16], y[8:16]))
    with pytest.raises(ValueError, match="fit: train_data has only labels that the loss ignores"):
        t.fit((x[8:16], y[8:16]))


def test_evaluation_changes_nothing() -> None:
    t = trainer(dropout=0.5)
    t.step(*blobs(16))
    before = t.model.state_dict()
    assert t.evaluate(blobs(40)) == t.evaluate(blobs(40))
    for name, value in t.model.state_dict().items():
        assert_same_bits(value, before[name], name)


def test_a_loss_that_sums() -> None:
    cc.manual_seed(0)
    x, y = np.ones((10, 3), np.float32), np.zeros((10, 2), np.float32)
    model = nn.Linear(3, 2)
    mean = cc.Trainer(model, nn.MSELoss(), optim.SGD()).evaluate((x, y), batch_size=4)
    total = cc.Trainer(model, nn.MSELoss(reduction="sum"), optim.SGD()).evaluate((x, y), batch_size=4)
    assert total["loss"] == pytest.approx(2 * mean["loss"], rel=1e-5)
    assert "accuracy" not in mean


def test_shuffling_follows_the_seed() -> None:
    def fit(seed: int, shuffle: bool = True) -> nn.Module:
        t = trainer(0)
        t.seed = seed
        t.fit(blobs(100), epochs=2, batch_size=16, shuffle=shuffle)
        return t.model

    assert_same_weights(fit(1), fit(1))
    assert (fit(1).state_dict()["7.weight"] != fit(2).state_dict()["7.weight"]).any()
    assert_same_weights(fit(1, shuffle=False), fit(2, shuffle=False))


def test_any_iterable_of_batches() -> None:
    class Batches:
        def __len__(self) -> int:
            return 3

        def __iter__(self) -> Iterator[tuple[Array, Array]]:
            for i in range(3):
                yield blobs(16, seed=i)

    history = trainer().fit(Batches(), epochs=2, validation=[blobs(8), blobs(9)])
    assert history.epochs == 2


def test_a_data_set_is_its_arrays() -> None:
    x, y = blobs(40)
    losses = []
    for data in ((x, y), cc.data.ArrayDataset(x, y)):
        t = trainer()
        t.fit(data, 2, data, batch_size=16, shuffle=False)
        losses.append(t.history["loss"] + t.history["val_loss"])
    assert losses[0] == losses[1]


def test_callbacks_and_progress() -> None:
    events: list[Any] = []

    class Watcher:
        def on_fit_begin(self, t: cc.Trainer) -> None:
            events.append("begin")

        def on_epoch_begin(self, t: cc.Trainer, epoch: int) -> None:
            events.append(("epoch", epoch))

        def on_batch_end(self, t: cc.Trainer, report: cc.BatchReport) -> None:
            events.append((report.epoch, report.batch, report.batches, report.images))

        def on_epoch_end(self, t: cc.Trainer, epoch: int, logs: dict[str, float]) -> None:
            t.stop = epoch == 2

        def on_fit_end(self, t: cc.Trainer) -> None:
            events.append("end")

    reports: list[cc.BatchReport] = []
    ends: list[int] = []
    t = trainer()
    t.fit(
        blobs(40), 5, callbacks=[Watcher(), lambda trainer, epoch, logs: ends.append(epoch)], batch_size=16,
        progress=reports.append,
    )  # fmt: skip
    batches = [(i, 3, n) for i, n in ((1, 16), (2, 16), (3, 8))]
    assert events == [
        "begin",
        *(e for epoch in (1, 2) for e in (("epoch", epoch), *((epoch, *b) for b in batches))),
        "end",
    ]
    assert ends == [1, 2]
    assert len(reports) == 6
    assert all(0 <= r.accuracy <= 1 and r.images_per_second > 0 for r in reports)
    assert t.epoch == 2


def test_verbose_prints_a_line_per_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    trainer().fit(blobs(32), 2, validation=blobs(16), verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("epoch 1/2  loss ")
    assert "val_accuracy" in lines[1]


def test_keep_best() -> None:
    """The second epoch's weights are spoilt for good; those of the best epoch come back."""
    t = trainer()

    def spoil(t: cc.Trainer, epoch: int, logs: dict[str, float]) -> None:
        if epoch == 2:
            t.optimizer.lr = 0.0
            t.model[7].weight.data = -3 * t.model[7].weight.data

    held_out = blobs(60, seed=3)
    history = t.fit(blobs(128), 4, validation=held_out, callbacks=[spoil], batch_size=32, keep_best=True)
    assert t.evaluate(held_out)["loss"] == pytest.approx(min(history["val_loss"]), rel=1e-6)
    assert history["val_loss"][-1] > min(history["val_loss"])


def test_schedules_are_stepped() -> None:
    def fit(make: Callable[[optim.Optimizer], Any], **data: Any) -> list[float]:
        optimizer = optim.SGD(lr=0.1)
        t = cc.Trainer(network(), nn.CrossEntropyLoss(), optimizer, make(optimizer))
        t.fit(blobs(32), 4, batch_size=8, **data)
        return [*t.history["lr"], optimizer.lr]

    assert fit(lambda o: optim.StepLR(o, 2, 0.5)) == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025])
    cycle = fit(lambda o: optim.OneCycleLR(o, 0.4))
    assert max(cycle) > 0.25
    assert cycle[-2] == pytest.approx(0.4 / 25 / 1e4, rel=0.5)
    plateau = fit(lambda o: optim.ReduceLROnPlateau(o, patience=0, threshold=1e9), validation=blobs(8))
    assert plateau[-1] < 0.1


def test_profile() -> None:
    """It is so many steps more, timed in parts."""
    x, y = blobs(16)
    t, twin = trainer(), trainer()
    profile = t.profile(x, y, rounds=2)
    for _ in range(3):
        twin.step(x, y)
    assert_same_weights(t.model, twin.model)
    passes = [step["pass"] for step in profile.steps]
    assert passes == sorted(passes, key=["forward", "backward", "update"].index)
    assert set(passes) == {"forward", "backward", "update"}
    convolutions = [step for step in profile.steps if step["kind"] == "conv2d" and step["pass"] == "backward"]
    assert convolutions
    assert all("weight: " in step["algorithm"] for step in convolutions)
    assert all(step["bytes"] > 0 for step in profile.steps if step["algorithm"] != "fused")
    assert "update" in str(profile)
    with pytest.raises(ValueError, match="profile: rounds must be at least 1, got 0"):
        t.profile(x, y, rounds=0)
