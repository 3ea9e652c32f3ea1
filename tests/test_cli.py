"""The command line: what it writes, that --resume changes nothing, one sentence and exit code 2 per mistake."""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import convcore as cc
from convcore.data import open_dataset
from test_data import write_idx

testing = pytest.importorskip("typer.testing")
pytest.importorskip("rich")

from convcore.cli import train as training  # noqa: E402
from convcore.cli.app import app  # noqa: E402
from convcore.cli.progress import LiveReporter  # noqa: E402
from convcore.history import BatchReport  # noqa: E402


def run(*arguments):
    return testing.CliRunner().invoke(app, [str(a) for a in arguments])


def fails(*arguments):
    """The one sentence on stderr."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("convcore: ")
    return lines[0]


def digits(count=60, seed=0):
    """Pictures that a network can learn: a bar whose place is the class."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(count) % 10).astype(np.uint8)
    pixels = generator.integers(0, 60, (count, 28, 28), dtype=np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[2 * label + 4 : 2 * label + 7] += 180
    return pixels, labels


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    write_idx(folder, *digits(), "train", zipped=True)
    write_idx(folder, *digits(20, seed=1), "t10k")
    return folder


@pytest.fixture(scope="session")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "lenet"
    result = run("train", data, "--epochs", 8, "--batch-size", 10, "--out", out, "--threads", 1)
    assert result.exit_code == 0, result.output
    return out, result.stdout


# --- train ---------------------------------------------------------------------------------------------------------
def test_train_writes_its_files(trained):
    out, stdout = trained
    assert sum(line.startswith("epoch ") for line in stdout.splitlines()) == 8
    with (out / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == [str(i) for i in range(1, 9)]
    assert list(rows[0]) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds"]
    assert len((out / "train.log").read_text().splitlines()) == 8
    assert json.loads((out / "run.json").read_text())["settings"]["batch_size"] == 10
    model = cc.load(out / "model.safetensors")
    assert np.asarray(model(np.zeros((2, 1, 28, 28), np.uint8))).shape == (2, 10)


def test_train_learns(trained, data):
    result = run("evaluate", trained[0] / "model.safetensors", data, "--per-class")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("20 images  loss ")
    assert float(result.stdout.split("accuracy ")[1].split("%")[0]) >= 90
    assert len(result.stdout.splitlines()) == 1 + 2 + 10


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "plateau", "constant"])
def test_resume_gives_the_same_weights(data, tmp_path, monkeypatch, schedule):
    options = ["train", data, "--epochs", 4, "--batch-size", 16, "--schedule", schedule, "--threads", 1, "--out"]
    assert run(*options, tmp_path / "whole").exit_code == 0

    def interrupt(self, trainer, epoch, logs, inner=training.Recorder.on_epoch_end):
        inner(self, trainer, epoch, logs)
        if epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training.Recorder, "on_epoch_end", interrupt)
        result = run(*options, tmp_path / "parts")
    assert result.exit_code == 130
    assert "--resume goes on" in result.stderr
    assert "holds an unfinished run" in fails(*options, tmp_path / "parts")
    result = run(*options, tmp_path / "parts", "--resume")
    assert result.exit_code == 0, result.output
    assert [line.split()[1] for line in result.stdout.splitlines() if line.startswith("epoch ")] == ["3/4", "4/4"]

    whole, parts = (cc.load(tmp_path / name / "model.safetensors").state_dict() for name in ("whole", "parts"))
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)
    rows = [(tmp_path / name / "history.csv").read_text().splitlines() for name in ("whole", "parts")]
    first, second = ([row.rpartition(",")[0] for row in table] for table in rows)  # without the time it took
    assert first == second
    assert "all 4 epochs are done" in run(*options, tmp_path / "parts", "--resume").stdout
    assert run(*options, tmp_path / "parts").exit_code == 0


def test_resume_refuses_other_settings(trained, data, tmp_path):
    out, _ = trained
    options = ["train", data, "--epochs", 8, "--batch-size", 10, "--out", out, "--resume"]
    assert "was begun with --lr 0.005" in fails(*options, "--lr", 0.1)
    assert "was begun with --epochs 8" in fails(*options, "--epochs", 9)
    write_idx(tmp_path, *digits(50))
    assert "was begun with other data" in fails("train", tmp_path, *options[2:])
    assert "holds no run to go on with" in fails("train", data, "--out", tmp_path / "none", "--resume")


def test_interrupt_before_the_first_checkpoint(data, tmp_path, monkeypatch):
    def interrupt(self, trainer, report):
        raise KeyboardInterrupt

    monkeypatch.setattr(training.Recorder, "on_batch_end", interrupt)
    options = ["train", data, "--epochs", 2, "--out", tmp_path]
    for _ in range(2):  # nothing stands in the way of beginning anew
        result = run(*options)
        assert result.exit_code == 130
        assert result.stderr == "convcore: stopped in epoch 1 of 2, before there was anything to go on with\n"
    assert "holds no run to go on with" in fails(*options, "--resume")


def test_a_failed_resume_changes_nothing(trained, data, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(trained[0], out)
    options = ["train", data, "--epochs", 8, "--batch-size", 10, "--out", out, "--resume"]
    settings, checkpoint = out / "run.json", out / "checkpoint.safetensors"
    described, state = settings.read_bytes(), checkpoint.read_bytes()
    # Cut off; another file of the library; an epoch count that is none.
    for wrong in (state[:1000], (out / "model.safetensors").read_bytes(), state.replace(b"epoch", b"epoxy")):
        checkpoint.write_bytes(wrong)
        assert str(checkpoint) in fails(*options)
        assert settings.read_bytes() == described
    checkpoint.write_bytes(state)
    for text in ('{"settings": 3}', '{"finished": true}', "[]", "3", "{", ""):
        settings.write_text(text)
        assert fails(*options).startswith(f"convcore: {settings}: ")
        assert settings.read_text() == text


def test_train_takes_every_kind_of_data(tmp_path, data):
    rng = np.random.default_rng(3)
    np.savez(tmp_path / "grey.npz", x=rng.random((20, 28, 28)), y=np.arange(20) % 2)
    common = ["--epochs", 1, "--batch-size", 8, "--out"]
    assert run("train", tmp_path / "grey.npz", *common, tmp_path / "grey").exit_code == 0
    records = rng.integers(0, 256, (20, 3073), dtype=np.uint8)
    records[:, 0] = np.arange(20) % 10
    records.tofile(tmp_path / "data_batch_1.bin")
    result = run("train", tmp_path / "data_batch_1.bin", "--model", "resnet20", *common, tmp_path / "colour")
    assert result.exit_code == 0, result.output
    message = fails("evaluate", tmp_path / "colour" / "model.safetensors", data)
    assert "holds images of (1, 28, 28) uint8, the model takes (3, 32, 32) uint8" in message
    message = fails("evaluate", tmp_path / "grey" / "model.safetensors", data)
    assert "the model takes (1, 28, 28) float32" in message


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop", "adagrad"])
def test_train_options(data, tmp_path, optimizer):
    options = ["--optimizer", optimizer, "--weight-decay", 0.01, "--clip-norm", 1, "--label-smoothing", 0.0]
    result = run("train", data, "--epochs", 1, "--val", data, *options, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "60 images (1, 28, 28) of 10 classes, 20 to validate on" in result.stdout
    result = run("train", data, "--epochs", 1, "--val", 0, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "val loss" not in result.stdout


# --- mistakes ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lr", "-1"], "--lr: expected a number that is not negative, got -1.0"),
        (["--lr", "nan"], "--lr: expected a number that is not negative, got nan"),
        (["--lr", "fast"], "--lr"),
        (["--epochs", "0"], "--epochs"),
        (["--batch-size", "0"], "--batch-size"),
        (["--threads", "0"], "--threads"),
        (["--seed", "-1"], "--seed"),
        (["--model", "lenet9"], "there is no model 'lenet9': choose lenet5 or resnet20"),
        (["--optimizer", "magic"], "--optimizer"),
        (["--val", "1"], "--val: expected a fraction"),
        (["--val", "-0.1"], "--val: expected a fraction"),
        (["--val", "nowhere"], "nowhere: no such file or folder"),
        (["--label-smoothing", "1"], "--label-smoothing: expected a number in [0, 1)"),
        (["--size", "2,3,4"], "--size: expected 1 or 2 positive numbers"),
        (["--classes", "5"], "is outside [0, 5)"),
        (["--classes", "1000001"], "--classes"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_train_bad_options(data, tmp_path, arguments, message):
    assert message in fails("train", data, "--out", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_train_bad_data(data, tmp_path):
    assert "no such file or folder" in fails("train", tmp_path / "nothing")
    assert "no known kind of data" in fails("train", tmp_path)
    assert "DATA" in fails("train")
    assert "No such command" in fails("fly")
    assert "No such option: --bogus" in fails("--bogus")

    pixels, labels = digits()
    images = write_idx(tmp_path, pixels, labels)
    whole = images.read_bytes()
    images.write_bytes(whole[:-100])
    assert "truncated" in fails("train", images)
    images.write_bytes(whole)

    labels[7] = 99
    write_idx(tmp_path, pixels, labels)
    assert "label 99 at index 7, but no image has label 10" in fails("train", images)
    np.savez(tmp_path / "negative.npz", x=pixels, y=labels.astype(int) - 1)
    assert "label -1 at index 0 is outside" in fails("train", tmp_path / "negative.npz")
    np.savez(tmp_path / "wide.npz", x=np.zeros((20, 3, 8, 8)), y=np.arange(20) % 2)
    assert "lenet5 takes grey images of 28 x 28, got 3 x 8 x 8" in fails("train", tmp_path / "wide.npz")
    np.savez(tmp_path / "empty.npz", x=pixels[:0], y=labels[:0])
    assert "holds no images" in fails("train", tmp_path / "empty.npz")
    assert "the model takes (3, 8, 8) float32" in fails("train", tmp_path / "wide.npz", "--val", images)
    (tmp_path / "file").write_text("")
    assert "File exists" in fails("train", data, "--out", tmp_path / "file")


def test_train_not_a_number(tmp_path, data):
    out = tmp_path / "out"
    assert "fit: the loss is nan at epoch 2" in fails("train", data, "--lr", "1e20", "--val", 0, "--out", out)
    assert not (out / "checkpoint.safetensors").exists()
    assert "the loss is nan" in (out / "train.log").read_text()
    endless = np.concatenate([np.full((2, 28, 28), 1e38), -np.full((2, 28, 28), 1e38)])  # finite, but not their scores
    np.savez(tmp_path / "endless.npz", x=endless, y=[0, 1, 0, 1])
    grey = tmp_path / "grey.npz"
    np.savez(grey, x=np.random.default_rng(4).random((20, 28, 28)), y=np.arange(20) % 2)
    message = fails("train", grey, "--epochs", 1, "--val", tmp_path / "endless.npz", "--out", out)
    assert "the validation loss is" in message
    assert "after epoch 1" in message
    pixels = np.random.default_rng(4).random((20, 28, 28))
    pixels[3] = np.nan
    np.savez(tmp_path / "nan.npz", x=pixels, y=np.arange(20) % 2)
    assert "the image at index 3 holds infinity or NaN" in fails("train", tmp_path / "nan.npz", "--out", out)


# --- evaluate, predict, summary, info ------------------------------------------------------------------------------
def test_evaluate_mistakes(trained, data, tmp_path):
    model = trained[0] / "model.safetensors"
    assert "there is no file" in fails("evaluate", tmp_path / "nothing", data)
    assert "no such file or folder" in fails("evaluate", model, tmp_path / "nothing")
    assert "is not a sound safetensors file" in fails("evaluate", data / "t10k-images-idx3-ubyte", data)
    damaged = tmp_path / "model.safetensors"
    damaged.write_bytes(model.read_bytes()[:1000])
    assert "is not a sound safetensors file" in fails("evaluate", damaged, data)
    checkpoint = trained[0] / "checkpoint.safetensors"
    assert f"{checkpoint}: holds weights but no architecture" in fails("evaluate", checkpoint, data)
    write_idx(tmp_path, digits()[0], np.arange(60, dtype=np.uint8) % 11)
    assert "has the classes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, the model" in fails("evaluate", model, tmp_path)
    bare = tmp_path / "bare.safetensors"
    cc.load(model).save(bare)
    assert run("evaluate", bare, data).exit_code == 0
    assert "label 10 at index 10 is outside [0, 10)" in fails("evaluate", bare, tmp_path)


def unfit_models():
    """Models that give no finite score per class, with words of the sentence about each."""
    endless = cc.nn.Linear(784, 10)
    endless.bias.data = np.full(10, np.inf)
    return {
        "gives an array of shape (2, 26, 26) per image": cc.nn.Sequential(cc.nn.Conv2d(1, 2, 3)),
        "holds a ModuleList": cc.nn.ModuleList([cc.nn.ReLU()]),
        "gives infinity or NaN for": cc.nn.Sequential(cc.nn.Flatten(), endless),
    }


def test_unfit_models(data, tmp_path):
    image = pytest.importorskip("PIL.Image")
    image.fromarray(digits()[0][3]).save(tmp_path / "three.png")
    file = tmp_path / "model.safetensors"
    for words, model in unfit_models().items():
        model.save(file)
        for arguments in (["evaluate", file, data], ["predict", file, data], ["predict", file, tmp_path / "three.png"]):
            message = fails(*arguments)
            assert words in message
            assert str(file) in message
    cc.nn.ModuleList([cc.nn.ReLU()]).save(file)
    assert f"{file}: holds a ModuleList" in fails("summary", file, "--input", "1,28,28")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shape": [1, 28]}, "damaged description"),
        ({"shape": [0, 28, 28]}, "damaged description"),
        ({"dtype": "int8"}, "damaged description"),
        ({"classes": ["a", "b"]}, "gives 10 scores for 2 classes"),
    ],
)
def test_a_wrong_description_of_the_images(trained, tmp_path, changes, words):
    image = pytest.importorskip("PIL.Image")
    image.fromarray(digits()[0][3]).save(tmp_path / "three.png")
    description = {"shape": [1, 28, 28], "dtype": "uint8", "classes": list("0123456789")} | changes
    file = tmp_path / "model.safetensors"
    cc.save(cc.load(trained[0] / "model.safetensors"), file, {"images": json.dumps(description)})
    assert f"{file}: {words}" in fails("predict", file, tmp_path / "three.png")


def test_predict(trained, data, tmp_path):
    model = trained[0] / "model.safetensors"
    result = run("predict", model, data, "--top", 2)
    assert result.exit_code == 0, result.output
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    labels = open_dataset(data, split="test").labels
    assert len(rows) == 20
    assert np.mean([row[1] == str(label) for row, label in zip(rows, labels, strict=True)]) >= 0.9
    assert all(1 >= float(row[2]) >= float(row[4]) >= 0 for row in rows)

    image = pytest.importorskip("PIL.Image")
    picture = image.fromarray(digits()[0][3]).convert("RGB").resize((56, 56))
    picture.save(tmp_path / "three.png")
    result = run("predict", model, tmp_path / "three.png", tmp_path / "three.png")
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 2
    assert result.stdout.split("\t")[1] == "3"


def test_predict_mistakes(trained, tmp_path):
    model = trained[0] / "model.safetensors"
    assert "no such file" in fails("predict", model, tmp_path / "nothing.png")
    (tmp_path / "text.png").write_text("text")
    assert "not an image that Pillow can read" in fails("predict", model, tmp_path / "text.png")
    assert "not a known kind of data" in fails("predict", model, __file__)
    assert "--top" in fails("predict", model, tmp_path / "text.png", "--top", 0)
    assert "IMAGE" in fails("predict", model)


def test_summary(trained):
    result = run("summary", "lenet5", "--batch-size", 64)
    assert result.exit_code == 0, result.output
    assert "61,706" in result.stdout
    assert "(64, 6, 28, 28)" in result.stdout
    assert "61,706" in run("summary", trained[0] / "model.safetensors").stdout
    assert run("summary", "resnet20", "--input", "1,40,48").exit_code == 0


def test_summary_mistakes(trained, tmp_path):
    model = trained[0] / "model.safetensors"
    assert "there is no file" in fails("summary", "lenet9")
    assert "--input: expected 3 positive numbers" in fails("summary", "lenet5", "--input", "1,28")
    assert "--input: expected 3 positive numbers" in fails("summary", "lenet5", "--input", "1,0,28")
    assert "lenet5 takes grey images" in fails("summary", "lenet5", "--input", "3,32,32")
    assert "conv2d" in fails("summary", model, "--input", "3,28,28")
    cc.load(model).save(tmp_path / "bare.safetensors")
    assert "give --input" in fails("summary", tmp_path / "bare.safetensors")


def test_profile(trained):
    result = run("profile", "lenet5", "--batch-size", 2, "--rounds", 2)
    assert result.exit_code == 0, result.output
    assert "GFLOP/s" in result.stdout
    assert "% peak" in result.stdout
    found = json.loads(run("profile", trained[0] / "model.safetensors", "--json", "--threads", 1).stdout)
    assert found["threads"] == 1
    assert "backward" in run("profile", "lenet5", "--training", "--batch-size", 4, "--rounds", 1).stdout
    assert {"name", "kind", "algorithm", "seconds", "gflops", "percent_of_peak", "bytes"} <= found["steps"][0].keys()


def test_profile_mistakes(tmp_path):
    assert "there is no file" in fails("profile", "lenet9")
    assert "--input: expected 3 positive numbers" in fails("profile", "lenet5", "--input", "1,28")
    assert "--rounds" in fails("profile", "lenet5", "--rounds", 0)


def test_info():
    result = run("info")
    assert result.exit_code == 0, result.output
    for word in ("convcore", "processor", "instructions", "threads", "caches", "peak", "GFLOP/s"):
        assert word in result.stdout


# --- the process ---------------------------------------------------------------------------------------------------
def last_lines(*arguments):
    """Exit code, and the last line of stdout and of stderr: an editable install may say above them that it builds."""
    result = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stderr
    return result.returncode, *((text.splitlines() or [""])[-1] for text in (result.stdout, result.stderr))


def test_process(tmp_path):
    code, said, _ = last_lines("-m", "convcore.cli", "--version")
    assert (code, said) == (0, cc.__version__)
    said = subprocess.run([sys.executable, "-m", "convcore.cli"], capture_output=True, text=True, check=False)
    assert "Usage: " in said.stdout + said.stderr  # help
    assert last_lines("-m", "convcore.cli", "--bogus") == (2, "", "convcore: No such option: --bogus")
    code, _, error = last_lines("-m", "convcore.cli", "train", tmp_path / "nothing")
    assert (code, error) == (2, f"convcore: {tmp_path / 'nothing'}: no such file or folder")


def test_missing_extra_is_said():
    code, _, error = last_lines("-c", "import sys; sys.modules['typer'] = None; import convcore.cli as c; c.main()")
    assert code == 2
    assert error == "convcore: the command line needs Typer and Rich: pip install 'convcore[cli]'"


def test_live_bar():
    console_type = pytest.importorskip("rich.console").Console
    console = console_type(force_terminal=True, width=120, record=True)
    live = LiveReporter(console, epochs=2, images=100, done=0)
    live._PERIOD = 0.0
    with console.capture() as captured, live:
        live.batch(BatchReport(1, 2, 1, 2, 50, 0.5, 0.75, 12345.0))
        live.line("epoch 1/2")
    shown = captured.get()
    for part in ("epoch 1/2", "loss 0.5000", "accuracy 75.00%", "12,345 images/s"):
        assert part in shown
