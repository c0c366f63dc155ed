"""The application: its commands, what ``holdfast --help`` says, and the way in."""

from __future__ import annotations

import sys
from inspect import cleandoc
from types import ModuleType
from typing import Annotated

import typer

from .. import __version__
from . import memo, runs, token
from .arguments import StoreOption, hand_down
from .cat import cat
from .commands import Commands
from .du import du
from .exchange import export, import_, sync
from .gc import gc
from .get import get
from .ls import ls
from .put import put
from .rm import rm
from .run import run
from .serve import serve
from .stat import stat
from .tour import tour
from .verify import verify

__all__ = ["app", "main", "root"]


def _flowing(text: str) -> str:
    """Help whose paragraphs are one line each, to be broken where the terminal ends; blocks after a mark stay."""
    paragraphs = cleandoc(text).split("\n\n")
    return "\n\n".join(part if part.startswith("\b") else part.replace("\n", " ") for part in paragraphs)


app = typer.Typer(
    name="holdfast",
    cls=Commands,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
"""All commands."""


def _group_of(module: ModuleType) -> typer.Typer:
    name = module.__name__.rpartition(".")[2]
    return typer.Typer(name=name, help=_flowing(module.__doc__ or ""), callback=hand_down, invoke_without_command=True)


_memo, _runs, _token = _group_of(memo), _group_of(runs), _group_of(token)
_GROUPS = {
    app: (tour, put, get, cat, ls, stat, rm, du, gc, verify, export, import_, sync, run, serve),
    _memo: (memo.ls, memo.explain, memo.forget, memo.stats),
    _runs: (runs.ls, runs.show, runs.resume, runs.cancel, runs.rm),
    _token: (token.create, token.ls, token.revoke),
}
for _group, _commands in _GROUPS.items():
    for _command in _commands:
        _group.command(_command.__name__.rstrip("_"), help=_flowing(_command.__doc__ or ""))(_command)
app.add_typer(_memo)
app.add_typer(_runs)
app.add_typer(_token)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"holdfast {__version__}")
        raise typer.Exit


def root(
    ctx: typer.Context,
    store: StoreOption = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Values, files, artifacts and results of a workflow, kept safely and found by name.

    An address is a scope and a key, as in namespace:prod/workflow:forecast/model. Scopes come into being when something
    is put into them. The store is --store, else HOLDFAST_STORE, else what holdfast.toml names, looked for here and in
    the folders above. HOLDFAST_DEBUG=1 adds the traceback to an error. New here? Run: holdfast tour

    \b
    Exit codes:
        0  done
        1  something is wrong: damaged bytes, a failed tour, any other error
        2  the call is not well formed
        3  no such record, scope, store or local file
        4  a conflict, or it exists already, or the store is busy
        5  memo explain: the call would be computed
      130  stopped by Ctrl-C
      141  nobody reads the output any more
    """
    hand_down(ctx, store)  # it holds where the command names none


app.callback(invoke_without_command=True, help=_flowing(root.__doc__ or ""))(root)


def main() -> None:
    """Run the command line and leave by ``SystemExit``."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # a name that the terminal cannot show is no reason to fail
            reconfigure(errors="backslashreplace")
    app(prog_name="holdfast")
