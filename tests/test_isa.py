"""The choice of instruction set: by the processor, by CONVCORE_ISA, by force_isa."""

from collections.abc import Callable

import numpy as np
import pytest

from convcore import _core

SHOW = "from convcore import _core; print(_core.isa())"
Python = Callable[..., str]


def test_portable_is_always_there_and_the_best_is_taken(python: Python) -> None:
    isas = _core.available_isas()
    assert isas[0] == "portable"
    assert set(isas) <= {"portable", "avx2", "avx512", "neon"}
    assert python(SHOW) == isas[-1]


@pytest.mark.parametrize("isa", _core.available_isas())
def test_the_environment_forces_an_isa(python: Python, isa: str) -> None:
    assert python(SHOW, CONVCORE_ISA=isa) == isa


@pytest.mark.parametrize("isa", _core.available_isas())
def test_a_forced_isa_computes(python: Python, isa: str) -> None:
    code = """
import numpy as np
from convcore import functional as F
print(int(F.conv2d(np.ones((1, 3, 4, 4)), np.ones((20, 3, 3, 3)), padding=1).sum()))
"""
    assert python(code, CONVCORE_ISA=isa) == str(20 * 3 * (4 * 9 + 8 * 6 + 4 * 4))


@pytest.mark.parametrize(
    "name", ["sse9", "AVX512F", "avx2 ", "neon" if "neon" not in _core.available_isas() else "avx2"]
)
def test_an_unknown_or_missing_isa_is_a_clear_error(python: Python, name: str) -> None:
    error = python(SHOW, fails=True, CONVCORE_ISA=name).strip().splitlines()[-1]
    assert "ValueError" in error
    assert "CONVCORE_ISA" in error
    assert name in error


def test_a_bad_isa_is_an_error_where_threads_would_first_need_it(python: Python) -> None:
    code = "import numpy as np, convcore as cc\nfrom convcore import functional as F\ncc.set_num_threads(2)\n"
    for call in ("F.relu(np.ones((64, 16, 32, 32)))", "F.max_pool2d(np.ones((64, 16, 32, 32)), 2)"):
        error = python(code + call, fails=True, CONVCORE_ISA="sse9").strip().splitlines()[-1]
        assert error.startswith("ValueError: CONVCORE_ISA: ")


def test_an_empty_variable_is_no_variable(python: Python) -> None:
    assert python(SHOW, CONVCORE_ISA="") == _core.available_isas()[-1]


def test_force_isa() -> None:
    for isa in _core.available_isas():
        _core.force_isa(isa)
        assert _core.isa() == isa
    with pytest.raises(ValueError, match=r"force_isa: .*got 'mmx'"):
        _core.force_isa("mmx")


def test_isas_agree() -> None:
    x = np.random.default_rng(0).standard_normal((2, 17, 9, 9)).astype(np.float32)
    w = np.random.default_rng(1).standard_normal((33, 17, 3, 3)).astype(np.float32)
    results = []
    for isa in _core.available_isas():
        _core.force_isa(isa)
        results.append(_core.forward("conv2d", {}, [x, w, None])[0])
    for y in results[1:]:
        np.testing.assert_allclose(y, results[0], rtol=1e-4, atol=1e-4)
