"""`convcore info`."""

from __future__ import annotations

import convcore

from ..table import format_bytes

_CACHES = {"L1d": "l1d", "L2": "l2", "L3": "l3"}


def info() -> None:
    """Print version, processor, instruction set, threads and why, caches and the measured peak."""
    found = convcore.info()
    cpu = found["cpu"]
    caches = ", ".join(f"{name} {format_bytes(cpu[key])}" for name, key in _CACHES.items() if cpu.get(key))
    rows = {
        "convcore": found["version"],
        "processor": f"{cpu['model']}, {cpu['physical']} cores, {cpu['logical']} logical",
        "instructions": f"{found['isa']} (of {', '.join(found['available_isas'])})",
        "threads": f"{found['threads']} ({found['threads_reason']})",
        "caches": caches or "unknown",
        "peak": f"{found['peak_gflops']:.1f} GFLOP/s, one thread, float32 multiply-adds",
    }
    for name, text in rows.items():
        print(f"{name:<13} {text}")
