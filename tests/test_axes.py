"""Functions along axes: folds, softmax, places of extremes, matrix products."""

import numpy as np
import pytest

from axis_cases import AXIS_CASES
from case import Case
from checks import check

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "case", [c for kind, cases in AXIS_CASES.items() if kind != "topk" for c in cases], ids=lambda c: f"{c.kind} {c.id}"
)
def test_axes(case: Case) -> None:
    check(case)
