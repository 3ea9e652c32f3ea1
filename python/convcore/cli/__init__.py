"""The `convcore` command. Typer and Rich come with the extra `cli`."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the console script."""
    try:
        from .app import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("typer", "rich", "click"):
            raise
        print("convcore: the command line needs Typer and Rich: pip install 'convcore[cli]'", file=sys.stderr)
        sys.exit(2)
    app()
