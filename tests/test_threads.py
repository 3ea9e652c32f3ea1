"""Threads: how many, why, after fork, and from many Python threads at once."""

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import pytest

import convcore as cc
from checks import assert_same_bits
from convcore import _core
from convcore import functional as F

Python = Callable[..., str]
SHOW = "from convcore import _core; print(_core.get_num_threads(), _core.num_threads_reason())"
X = np.random.default_rng(0).standard_normal((4, 16, 24, 24)).astype(np.float32)
W = np.random.default_rng(1).standard_normal((24, 16, 3, 3)).astype(np.float32)

FORK = """
import os, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
import convcore as cc
from convcore import functional as F
cc.set_num_threads(2)
x = np.random.default_rng(0).standard_normal((4, 16, 24, 24)).astype(np.float32)
w = np.random.default_rng(1).standard_normal((24, 16, 3, 3)).astype(np.float32)
y = F.conv2d(x, w)
"""


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_set_num_threads(threads: int) -> None:
    before = F.conv2d(X, W)
    cc.set_num_threads(threads)
    assert cc.get_num_threads() == threads
    assert "set_num_threads" in _core.num_threads_reason()
    assert_same_bits(F.conv2d(X, W), before, f"{threads} threads")


@pytest.mark.parametrize("threads", [0, -1, 1025, 2**40])
def test_impossible_numbers_of_threads(threads: int) -> None:
    with pytest.raises((ValueError, TypeError), match=r"set_num_threads"):
        cc.set_num_threads(threads)


@pytest.mark.parametrize("threads", ["two", None, 2.0])
def test_threads_that_are_no_number(threads: Any) -> None:
    with pytest.raises(TypeError, match=f"^set_num_threads: threads must be an int, got {type(threads).__name__}$"):
        cc.set_num_threads(threads)


def test_numpys_integers_are_numbers_of_threads() -> None:
    cc.set_num_threads(cast("int", np.int64(2)))
    assert cc.get_num_threads() == 2


def test_the_environment(python: Python) -> None:
    assert python(SHOW, CONVCORE_NUM_THREADS="3").startswith("3 CONVCORE_NUM_THREADS")
    assert python(SHOW, OMP_NUM_THREADS="1").startswith("1 OMP_NUM_THREADS")
    assert python(SHOW, OMP_NUM_THREADS="1", CONVCORE_NUM_THREADS="2").startswith("2 CONVCORE_NUM_THREADS")
    explicit = "import convcore as cc; cc.set_num_threads(2); print(cc.get_num_threads())"
    assert python(explicit, CONVCORE_NUM_THREADS="1") == "2"


def test_the_default_fits_the_machine(python: Python) -> None:
    threads, _, reason = python(SHOW).partition(" ")
    cpu = _core.cpu()
    assert 1 <= int(threads) <= cpu["physical"]
    assert re.fullmatch(
        rf"({threads} physical cores|CPU affinity to {threads}|cgroup quota [\d.]+) of {cpu['logical']} CPUs", reason
    )
    if cpu["physical"] > 1 and hasattr(os, "sched_setaffinity"):
        pin = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        assert python(pin + SHOW) == f"1 CPU affinity to 1 of {cpu['logical']} CPUs"


@pytest.mark.parametrize("value", ["0", "-2", "many", "2.5", "99999999999999999999"])
def test_an_unusable_environment(python: Python, value: str) -> None:
    """Is as none."""
    assert python(SHOW, CONVCORE_NUM_THREADS=value) == python(SHOW)
    assert python(SHOW, CONVCORE_NUM_THREADS=value, OMP_NUM_THREADS="3") == "3 OMP_NUM_THREADS"


def test_fork(python: Python) -> None:
    """A child computes what its parent computed, though OpenMP's threads did not come along."""
    code = """
pid = os.fork()
if pid == 0:
    same = (F.conv2d(x, w) == y).all()
    cc.set_num_threads(2)
    same = same and (F.conv2d(x, w) == y).all()
    os._exit(0 if same else 1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert (F.conv2d(x, w) == y).all()
pid = os.fork()
if pid == 0:
    grandchild = os.fork()
    if grandchild == 0:
        os._exit(0 if (F.conv2d(x, w) == y).all() else 1)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
print("ok")
"""
    assert python(FORK + code) == "ok"


def test_multiprocessing_by_fork(python: Python) -> None:
    code = """
import multiprocessing
def work(scale):
    return F.conv2d(x * np.float32(scale), w)
with multiprocessing.get_context("fork").Pool(2) as pool:
    results = pool.map(work, [1, 2, 4])
for scale, result in zip((1, 2, 4), results):
    assert (result == y * scale).all()
print("ok")
"""
    assert python(FORK + code) == "ok"


def test_fork_while_another_thread_computes(python: Python) -> None:
    code = """
import threading
stop = threading.Event()
def busy():
    while not stop.is_set():
        F.conv2d(x, w)
thread = threading.Thread(target=busy)
thread.start()
try:
    for _ in range(5):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if (F.conv2d(x, w) == y).all() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
finally:
    stop.set()
    thread.join()
print("ok")
"""
    assert python(FORK + code) == "ok"


# A child whose call neither returns nor raises is killed by its alarm, which fails the test.
FORK_WHILE = """
import signal, threading
from convcore import nn, optim
cc.set_num_threads(THREADS)
model = nn.Sequential(nn.Conv2d(16, 24, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24 * 22 * 22, 10))
labels = np.arange(4) % 10
program = cc.compile(model, (4, 16, 24, 24))
trainer = cc.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(lr=0.0))
trainer.step(x, labels)
expected = model(x)
def call_in_child(call, forks):
    refused = 0
    stop, started = threading.Event(), threading.Event()
    def busy():
        while not stop.is_set():
            call()
            started.set()
    thread = threading.Thread(target=busy)
    thread.start()
    try:
        started.wait()
        for _ in range(forks):
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)
                try:
                    call()
                except ValueError as error:
                    os._exit(1 if "when the process forked" in str(error) else 2)
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            assert code in (0, 1), code
            refused += code
    finally:
        stop.set()
        thread.join()
    return refused
"""


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("call", ["program(x)", "trainer.step(x, labels)"])
def test_fork_while_a_program_runs_in_another_thread(python: Python, call: str, threads: str) -> None:
    code = f"call_in_child(lambda: {call}, 20)\nassert np.allclose(program(x), expected, atol=1e-4)\nprint('ok')"
    assert python(FORK + FORK_WHILE.replace("THREADS", threads) + code) == "ok"


@pytest.mark.parametrize("threads", ["1", "2"])
def test_fork_while_a_model_predicts_in_another_thread(python: Python, threads: str) -> None:
    """Models compile anew in the child, so they always work there."""
    code = "print(call_in_child(lambda: np.testing.assert_allclose(model(x), expected, atol=1e-4), 20))"
    assert python(FORK + FORK_WHILE.replace("THREADS", threads) + code) == "0"


def test_fork_while_big_results_come_and_go(python: Python) -> None:
    """Their memory comes from a pool with a lock of its own."""
    code = "big = np.ones((1, 64, 32, 32), np.float32)\nprint(call_in_child(lambda: F.relu(big), 20))"
    assert python(FORK + FORK_WHILE.replace("THREADS", "1") + code) == "0"


def test_many_python_threads_at_once() -> None:
    cc.set_num_threads(2)
    inputs = [X * np.float32(k) for k in range(1, 9)]
    expected = [F.max_pool2d(F.relu(F.conv2d(x, W)), 2) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            results = pool.map(lambda x: F.max_pool2d(F.relu(F.conv2d(x, W)), 2), inputs)
            for got, want in zip(results, expected, strict=True):
                assert_same_bits(got, want, "concurrent calls")
