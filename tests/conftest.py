"""Fixtures: every test leaves the process as it found it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import convcore
from convcore import _core

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def _machine() -> Iterator[None]:
    """Restores the ISA and the number of threads."""
    isa, threads = _core.isa(), _core.get_num_threads()
    yield
    _core.force_isa(isa)
    _core.set_num_threads(threads)


@pytest.fixture
def shared() -> Path:
    """The folder of real data that stands beside the checkout; tests that need it are skipped without it."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not here")
    return SHARED


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    """PyTorch, for comparison only."""
    return pytest.importorskip("torch")


@pytest.fixture
def python() -> Callable[..., str]:
    """Runs code in a fresh interpreter that finds convcore where this one did, in a folder, with arguments; returns
    what it prints."""

    def run(code: str, *arguments: str, fails: bool = False, folder: Path | None = None, **environment: str) -> str:
        paths = [str(Path(m.__file__ or "").parents[1]) for m in (convcore, _core)] + [os.environ.get("PYTHONPATH", "")]
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("CONVCORE_", "OMP_"))}
        env = {**clean, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment}
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else done.stdout.strip()

    return run
