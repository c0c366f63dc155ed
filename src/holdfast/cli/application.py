"""The application: its commands, what ``holdfast --help`` says, and the way in."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from inspect import cleandoc
from keyword import iskeyword
from types import ModuleType
from typing import Annotated, Any

import typer

from .. import __version__
from .arguments import StoreOption, hand_down
from .commands import Commands

__all__ = ["app", "main", "root"]

_MODULES = {
    "tour": "tour", "put": "put", "get": "get", "cat": "cat", "ls": "ls", "stat": "stat", "rm": "rm", "du": "du",
    "gc": "gc", "verify": "verify", "export": "exchange", "import": "exchange", "sync": "exchange", "run": "run",
    "serve": "serve", "memo": "memo", "runs": "runs", "token": "token",
}  # fmt: skip
_GROUPS = {
    "memo": ("ls", "explain", "forget", "stats"),
    "runs": ("ls", "show", "resume", "cancel", "rm"),
    "token": ("create", "ls", "revoke"),
}


class _OnDemand(Mapping[str, Any]):
    """All commands by name, each imported and built when it is asked for: most calls need one of them."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            module = import_module(f".{_MODULES[name]}", __package__)
            made = typer.Typer(name=name, add_completion=False)
            if name in _GROUPS:
                made.callback(invoke_without_command=True, help=_flowing(module.__doc__ or ""))(hand_down)
            for each in _GROUPS.get(name, (name,)):
                _add(made, module, each)
            self._built[name] = typer.main.get_command(made)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


def _add(group: typer.Typer, module: ModuleType, name: str) -> None:
    function = getattr(module, f"{name}_" if iskeyword(name) else name)
    group.command(name, help=_flowing(function.__doc__ or ""))(function)


def _flowing(text: str) -> str:
    """Help whose paragraphs are one line each, to be broken where the terminal ends; blocks after a mark stay."""
    paragraphs = cleandoc(text).split("\n\n")
    return "\n\n".join(part if part.startswith("\b") else part.replace("\n", " ") for part in paragraphs)


class _Application(Commands):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = _OnDemand()


app = typer.Typer(
    name="holdfast",
    cls=_Application,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
"""All commands."""


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
