"""The folder of a training run: what `convcore train` writes, and what `--resume` reads."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds")


class Run:
    """Files of one run. All but the log are replaced as a whole, so that a killed run leaves whole files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = folder / "model.safetensors"
        self.checkpoint = folder / "checkpoint.safetensors"
        self._settings = folder / "run.json"
        self._history = folder / "history.csv"
        self._log = folder / "train.log"

    def start(self, settings: Mapping[str, Any]) -> None:
        """Begins anew. A finished run is overwritten, an unfinished one is not."""
        if self.checkpoint.is_file() and not self._read().get("finished"):
            raise ValueError(
                f"{self.folder}: holds an unfinished run: go on with --resume, delete it, or choose another --out"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        for file in (self.checkpoint, self._log):
            file.unlink(missing_ok=True)
        self._describe(settings)

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raises ValueError if the run in the folder is not the one that the settings describe; more epochs are welcome
        where the schedule does not depend on their number."""
        if not self._settings.is_file() or not self.checkpoint.is_file():
            raise FileNotFoundError(f"{self.folder}: holds no run to go on with")
        before = self._read()["settings"]
        free = {"epochs"} if settings["schedule"] in ("constant", "plateau") else set()
        for name, value in settings.items():
            if name not in free and before.get(name) != value:
                what = "other data" if name == "data" else f"--{name.replace('_', '-')} {before.get(name)}"
                raise ValueError(f"{self.folder}: this run was begun with {what}, --resume cannot change that")

    def resume(self, settings: Mapping[str, Any]) -> None:
        """Goes on with the run that `check` accepted."""
        self._describe(settings)

    def _read(self) -> dict[str, Any]:
        return _read_json(self._settings) if self._settings.is_file() else {}

    def _describe(self, settings: Mapping[str, Any], finished: bool = False) -> None:
        _replace(self._settings, json.dumps({"settings": settings, "finished": finished}, indent=2) + "\n")

    def finish(self) -> None:
        """All epochs are done: another run may take the folder."""
        self._describe(self._read()["settings"], finished=True)

    def write_history(self, history: Mapping[str, list[float]]) -> None:
        """One row per epoch."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        columns = [name for name in _COLUMNS if name == "epoch" or name in history]
        writer.writerow(columns)
        for index in range(len(history["loss"])):
            writer.writerow([index + 1, *(f"{history[name][index]:.6g}" for name in columns[1:])])
        _replace(self._history, text.getvalue())

    def log(self, line: str) -> None:
        """Appends a line with the time."""
        with self._log.open("a", encoding="utf-8") as stream:
            stream.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {line}\n")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError(f"{file}: damaged, not JSON") from None
    if not isinstance(found, dict) or not isinstance(found.get("settings"), dict):
        raise ValueError(f"{file}: not the settings of a training run")
    return found


def _replace(file: Path, text: str) -> None:
    temporary = file.with_name(file.name + ".part")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, file)
