"""Cases of resize: every mode and way to count, growing and shrinking, along every axis of every rank."""

import itertools
from collections.abc import Sequence
from typing import Any

from case import Case
from conv_cases import TAILS

COORDINATES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric")
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def resize(x: tuple[int, ...], sizes: Sequence[int] | None = None, **attributes: Any) -> Case:
    return Case("resize", (x,), ({"sizes": list(sizes)} if sizes else {}) | attributes)


def _modes() -> list[Case]:
    cases = [
        resize((2, 3, 5, 8), (2, 3, *sizes), mode=mode, coordinate_transformation_mode=how)
        for mode, how, sizes in itertools.product(
            ("nearest", "linear", "cubic"), COORDINATES, ((9, 11), (3, 4), (7, 1), (1, 8))
        )
    ]
    cases += [
        resize((1, 4, 6, 7), (1, 4, 9, 4), nearest_mode=rule, coordinate_transformation_mode=how)
        for rule, how in itertools.product(NEAREST, COORDINATES)
    ]
    for mode in ("linear", "cubic"):
        for antialias, exclude in itertools.product((False, True), (False, True)):
            more = {"mode": mode, "antialias": antialias, "exclude_outside": exclude}
            cases += [resize((1, 5, 9, 10), (1, 5, h, w), **more) for h, w in ((4, 3), (14, 7), (9, 3))]
    cases.append(resize((1, 5, 9, 10), (1, 5, 4, 13), mode="cubic", cubic_coeff_a=-0.5))
    return cases


def _scales() -> list[Case]:
    return [
        resize((2, 3, 5, 7), mode=mode, scales=[1.0, 1.0, h, w], coordinate_transformation_mode=how)
        for mode, how, (h, w) in itertools.product(
            ("nearest", "linear"), COORDINATES, ((2.0, 2.0), (0.6, 1.7), (1.3, 0.5))
        )
    ]


def _crops() -> list[Case]:
    inner, beyond = [0, 0, 0.4, 0.6, 1, 1, 0.6, 0.8], [0, 0, -0.2, 0.6, 1, 1, 0.7, 1.4]
    how = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 10.0}
    crop = [
        resize((2, 3, 9, 8), (2, 3, h, w), mode=mode, roi=[float(v) for v in roi], **how)
        for mode, roi, (h, w) in itertools.product(
            ("nearest", "linear", "cubic"), (inner, beyond), ((3, 3), (9, 8), (1, 12))
        )
    ]
    return [*crop, resize((4, 6), (5, 6), mode="linear", roi=[0.5, -0.1, 1.2, 1.0], **how)]


def _shapes() -> list[Case]:
    linear = {"mode": "linear"}
    return [
        *(resize((2, c, 5, 6), (2, c, 10, 12), **linear) for c in TAILS),
        *(resize((2, c, 5, 6), (2, c, 10, 12), coordinate_transformation_mode="asymmetric") for c in TAILS),
        *(resize((2, c, 5), (2, c, 8), **linear) for c in (1, 5, 17)),
        resize((7,), (12,), **linear),
        resize((7,), (3,), mode="cubic"),
        resize((5, 6), (8, 3), **linear),
        resize((2, 3, 4), (3, 2, 6), **linear),
        resize((2, 3, 4), (2, 5, 4), mode="cubic"),
        resize((2, 3, 4, 5), (3, 4, 5, 6), **linear),
        resize((2, 3, 4, 5), (1, 5, 4, 5), mode="cubic", antialias=True),
        resize((2, 3, 4, 5, 6), (2, 3, 8, 4, 9), **linear),
        resize((2, 3, 4, 5, 6), (3, 2, 4, 5, 6), mode="cubic"),
        resize((2, 3, 4, 5, 6), (2, 3, 8, 10, 12)),
        resize((0, 3, 4, 5), (0, 3, 8, 10), **linear),
        resize((0, 3, 4), (0, 6, 8), **linear),
        resize((2, 3, 4, 5), (2, 3, 4, 5), **linear),
        resize((2, 3, 4, 5, 6), (2, 3, 4, 5, 6), **linear),
        resize((1, 3, 1, 1), (1, 3, 40, 50), **linear),
        resize((2, 32, 24, 24), (2, 32, 48, 48), **linear),
        resize((1, 4, 64, 64), (1, 4, 20, 17), **linear, antialias=True),
    ]


RESIZE_CASES = [*_modes(), *_scales(), *_crops(), *_shapes()]
