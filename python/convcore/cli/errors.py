"""How the command line ends when its user is wrong: one sentence on stderr, exit code 2, no traceback."""

from __future__ import annotations

from typing import Any, cast

import typer
from typer.core import TyperGroup

# The library's errors for wrong input, and what the operating system refuses. Anything else is a bug and shows itself.
_WRONG_INPUT = (ValueError, OSError, MemoryError)
_USAGE_ERROR: type[Exception] = cast(Any, typer.BadParameter.__mro__[1])  # UsageError, which Typer does not export


class Commands(TyperGroup):
    """A group of commands that reports errors in one line."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (*_WRONG_INPUT, _USAGE_ERROR) as error:
            if isinstance(error, BrokenPipeError):
                raise
            fail(sentence(error))


def sentence(error: BaseException) -> str:
    """An error as one line."""
    if isinstance(error, MemoryError):
        return f"out of memory{f' ({error})' if str(error) else ''}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    return " ".join(text.split()) or type(error).__name__


def fail(message: str) -> None:
    """Ends the command with exit code 2."""
    typer.echo(f"convcore: {message}", err=True)
    raise typer.Exit(2)
