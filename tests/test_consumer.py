"""The installed C++ package: `find_package(convcore)` must build and run a small program outside this repository."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COMPILER = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
CMAKE = shutil.which("cmake")

pytestmark = pytest.mark.skipif(not (CMAKE and COMPILER), reason="needs cmake and a C++ compiler")


def cmake(*arguments: str | Path) -> None:
    result = subprocess.run(
        [str(CMAKE), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-5000:]


def configure(source: Path, build: Path, *definitions: str) -> None:
    # Unoptimised: this test asks whether it builds and links, and answers in a fifth of the time.
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    unoptimised = ["-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O0", f"-DCMAKE_CXX_COMPILER={COMPILER}"]
    cmake("-S", source, "-B", build, *generator, *unoptimised, *definitions)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C++ library, built once and installed."""
    build, prefix = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("prefix")
    configure(ROOT, build)
    cmake("--build", build, "--parallel", "2")
    cmake("--install", build, "--prefix", prefix)
    return prefix


def test_headers_and_package_are_installed(prefix: Path) -> None:
    headers = {str(path.relative_to(prefix / "include")) for path in prefix.rglob("*.h")}
    assert {"convcore/convcore.h", "convcore/ops/op.h", "convcore/graph/program.h"} <= headers
    assert all(header.startswith("convcore/") for header in headers)
    exported = next(prefix.rglob("convcoreTargets.cmake")).read_text()
    assert "convcore::convcore" in exported
    assert "convcore_kernels" not in exported
    assert "convcore_flags" not in exported
    assert str(ROOT) not in exported


def test_consumer_builds_and_runs(prefix: Path, tmp_path: Path) -> None:
    configure(ROOT / "tests" / "consumer", tmp_path, f"-DCMAKE_PREFIX_PATH={prefix}")
    cmake("--build", tmp_path)
    result = subprocess.run([tmp_path / "consumer"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["9"] * 9
