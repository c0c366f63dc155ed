"""How every command ends: exit codes, errors as one line or as JSON, closed pipes and Ctrl-C."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import typer
from typer.core import TyperGroup

from ..errors import (
    BusyError,
    ConflictError,
    DefinitionError,
    FlowFailed,
    HoldfastError,
    InvalidArgumentError,
    NotFoundError,
    StoreNotFoundError,
    ValueLost,
)
from .wording import shown

__all__ = ["CONFLICT", "FINE", "INTERRUPTED", "MISS", "MISSING", "USAGE", "WRONG", "Commands", "exit_code", "report"]

FINE, WRONG, USAGE, MISSING, CONFLICT, MISS, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
"""Exit codes: done; something is wrong; mend the call; not found; conflict, exists already or busy; a memoized call
would be computed; Ctrl-C."""

_CLOSED_PIPE = 141  # what a shell says of a command that ended by SIGPIPE


def exit_code(error: BaseException) -> int:
    """The exit code of an error."""
    if isinstance(error, ValueLost):
        return WRONG  # the record is there: that its bytes are not is damage
    if isinstance(error, NotFoundError | StoreNotFoundError):
        return MISSING
    if isinstance(error, ConflictError | BusyError):
        return CONFLICT
    if isinstance(error, InvalidArgumentError):
        return USAGE
    code = getattr(error, "exit_code", WRONG)  # what the argument parser raises has one
    return code if isinstance(code, int) else WRONG


def report(error: BaseException, as_json: bool) -> int:
    """Tell of an error on stderr, with its traceback when ``HOLDFAST_DEBUG`` is set; gives its exit code."""
    if os.environ.get("HOLDFAST_DEBUG", "0") not in ("", "0"):
        traceback.print_exception(error)
    code, message = exit_code(error), _message(error)
    if as_json:
        name = error.code if isinstance(error, HoldfastError) else "usage" if code == USAGE else "error"
        told = {"code": name, "message": message, "exit": code}
        if isinstance(error, FlowFailed):
            told |= {"id": error.instance, "state": error.status, "error_code": error.error_code}
        line = json.dumps({"error": told})
    else:
        lines = message.splitlines() if isinstance(error, DefinitionError) else [message]  # one for each thing
        line = "\n".join(f"error: {shown(each)}" for each in lines)
    print(line, file=sys.stderr)
    return code


def _message(error: BaseException) -> str:
    if isinstance(error, HoldfastError):
        return error.message
    parser_says = getattr(error, "format_message", None)  # the parser's classes have no public name in common
    if parser_says is not None:
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context is not None else ""
        return f"{parser_says().rstrip('.')}{hint}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"unexpected {type(error).__name__}: {error}; HOLDFAST_DEBUG=1 shows where"


class _PipeClosed(Exception):
    """Nobody reads our output any more."""


class Commands(TyperGroup):
    """The group of all commands, which turns what they raise into an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _PipeClosed from error

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """Parse, run and leave by ``SystemExit``."""
        words = list(sys.argv[1:] if args is None else args)
        as_json = "--json" in words
        try:
            ended = super().main(words, *more, **{**extra, "standalone_mode": False})
            code = ended if isinstance(ended, int) else FINE
            sys.stdout.flush()
        except (_PipeClosed, BrokenPipeError):
            code = _CLOSED_PIPE
            _discard_output()
        except (KeyboardInterrupt, typer.Abort) as stop:
            code = INTERRUPTED if isinstance(stop, KeyboardInterrupt) else WRONG
        except Exception as error:
            code = report(error, as_json)
            with suppress(OSError):
                sys.stdout.flush()
                sys.exit(code)
            _discard_output()
        if code == INTERRUPTED:
            print("interrupted", file=sys.stderr)
        sys.exit(code)


def _discard_output() -> None:
    """Let the interpreter flush what is left to nowhere, instead of complaining at its end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
