"""What convcore knows about this machine and how it uses it."""

from __future__ import annotations

from typing import Any

from . import _core


def info(measure: bool = True) -> dict[str, Any]:
    """Version, processor, instruction set in use, threads and why so many, and the measured peak.

    Keys: version, isa, available_isas, cpu (model, l1d, l2, l3 in bytes, logical, physical), threads, threads_reason,
    winograd (see set_winograd), and, unless measure is False, peak_gflops: the fused multiply-add peak of one thread,
    measured in about 50 ms.
    """
    result: dict[str, Any] = {
        "version": _core.__version__,
        "isa": _core.isa(),
        "available_isas": _core.available_isas(),
        "cpu": _core.cpu(),
        "threads": _core.get_num_threads(),
        "threads_reason": _core.num_threads_reason(),
        "winograd": _core.get_winograd(),
    }
    if measure:
        result["peak_gflops"] = _core.peak_gflops()
    return result
