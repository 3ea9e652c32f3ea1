"""The commands."""

from __future__ import annotations

from typing import Annotated

import typer

import convcore

from .errors import Commands
from .evaluate import evaluate
from .info import info
from .predict import predict
from .profile import profile
from .summary import summary
from .train import train

app = typer.Typer(
    name="convcore",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(convcore.__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Train and run convolutional networks on CPUs."""


for command in (train, evaluate, predict, summary, profile, info):
    app.command()(command)
