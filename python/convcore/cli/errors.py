"""How the command line ends when its user is wrong: one sentence on stderr, exit code 2, no traceback."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

# The library's errors for wrong input, and what the operating system refuses. Anything else is a bug and shows itself.
_WRONG_INPUT = (ValueError, OSError, MemoryError)


class Commands(TyperGroup):
    """A group of commands that reports errors in one line."""

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
        shows_help = not args
        try:
            return super().make_context(info_name, args, parent, **extra)
        except Exception as error:
            if shows_help or not _is_users(error):
                raise
            fail(sentence(error))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if not _is_users(error):
                raise
            fail(sentence(error))


def _is_users(error: Exception) -> bool:
    """Whether the user's input is wrong. A usage error, whose class Typer does not export, can format its message."""
    if isinstance(error, BrokenPipeError):
        return False
    return isinstance(error, _WRONG_INPUT) or hasattr(error, "format_message")


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
