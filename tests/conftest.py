# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures: every test leaves the process as it found it."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

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
