"""Holds a built wheel against what the project promises: its size, its files, its dependencies."""

import re
import sys
import zipfile
from pathlib import Path

MOST_BYTES = 3_000_000
DEPENDENCIES = {"numpy", "safetensors"}


def complaints(wheel: Path) -> list[str]:
    found = []
    if (size := wheel.stat().st_size) > MOST_BYTES:
        found.append(f"{size} bytes, at most {MOST_BYTES} are allowed")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(n for n in names if n.endswith(".dist-info/METADATA"))).decode()
    for needed in ("convcore/__init__.py", "convcore/_core.pyi", "convcore/py.typed"):
        if needed not in names:
            found.append(f"{needed} is missing")
    if not any(re.fullmatch(r"convcore/_core\.[\w.-]+\.so", name) for name in names):
        found.append("the extension convcore/_core.*.so is missing")
    if not any(".dist-info/" in name and "LICENSE" in name for name in names):
        found.append("the licence is missing")
    found += [f"{name} does not belong here" for name in names if not re.match(r"convcore(-[^/]+\.dist-info)?/", name)]
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line]
    names_required = {re.split(r"[^\w-]", line.split(": ", 1)[1])[0] for line in required}
    if names_required != DEPENDENCIES:
        found.append(f"depends on {sorted(names_required)}, not on {sorted(DEPENDENCIES)}")
    return found


if __name__ == "__main__":
    path = Path(sys.argv[1])
    problems = complaints(path)
    for problem in problems:
        print(f"{path.name}: {problem}", file=sys.stderr)
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")
    sys.exit(bool(problems))
