"""Locks that a forked child finds open: of its parent's threads, only the one that forked lives on there."""

from __future__ import annotations

import os
import threading
from weakref import WeakSet

_locks: WeakSet[threading.Lock] = WeakSet()


def new_lock() -> threading.Lock:
    """A lock for changes that are over, or can be made again, whenever another thread forks."""
    lock = threading.Lock()
    _locks.add(lock)
    return lock


def _open_all() -> None:
    for lock in _locks:
        if lock.locked():
            lock.release()


os.register_at_fork(after_in_child=_open_all)
