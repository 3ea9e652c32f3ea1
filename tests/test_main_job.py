"""What convcore is for: a network that learns digits, and the programs that README and examples/ promise."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import convcore as cc
from convcore import nn, optim
from convcore.data import DataLoader, open_dataset

ROOT = Path(__file__).resolve().parents[1]
DIGITS = ROOT / "examples" / "data" / "mnist5k"
Python = Callable[..., str]

if not DIGITS.is_dir():
    pytest.skip("examples/ is not beside the tests", allow_module_level=True)


@pytest.fixture(scope="module")
def lenet() -> cc.Trainer:
    """LeNet-5 after four epochs of 4,500 digits."""
    cc.manual_seed(0)
    train, held_out = open_dataset(DIGITS).split(0.1)
    optimizer = optim.Adam(lr=5e-3)
    batches = DataLoader(train, batch_size=64, shuffle=True)
    schedule = optim.OneCycleLR(optimizer, max_lr=5e-3, total_steps=4 * len(batches))
    trainer = cc.Trainer(cc.models.lenet5(), nn.CrossEntropyLoss(), optimizer, schedule)
    history = trainer.fit(batches, epochs=4, validation=DataLoader(held_out, batch_size=256))
    assert history["loss"][-1] < history["loss"][0] / 4
    return trainer


def test_lenet_learns_digits(lenet: cc.Trainer) -> None:
    assert lenet.history["val_accuracy"][-1] >= 0.95


def test_lenet_knows_the_test_set(lenet: cc.Trainer, shared: Path) -> None:
    test = open_dataset(shared / "data" / "mnist", split="test")
    assert len(test) == 10_000
    assert lenet.evaluate(DataLoader(test, batch_size=256))["accuracy"] >= 0.95


def accuracy(text: str) -> float:
    """The last number in the text; a percentage as a share."""
    number, percent = re.findall(r"([\d.]+)(%?)", text)[-1]
    return float(number) / (100 if percent else 1)


def test_the_program_in_the_readme(python: Python, tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = "".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    printed = python(code, folder=tmp_path)
    assert accuracy(printed) >= 0.95
    assert printed.split()[-1] == "True"
    assert (tmp_path / "digits.safetensors").is_file()


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_the_examples(python: Python, tmp_path: Path, example: Path) -> None:
    run = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    printed = python(run, str(example), folder=tmp_path)
    reached = re.findall(r"(?:val_accuracy|held out:?) ([\d.]+%)", printed)
    assert reached, printed
    assert accuracy(reached[-1]) >= 0.95
