"""``holdfast run``: a flow is registered, run in this process, and what comes of it printed."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InvalidArgumentError, NotFoundError
from .arguments import (
    FunctionsOption,
    JsonOption,
    QuietOption,
    StorageOption,
    StoreOption,
    functions_from,
    open_store,
)
from .printing import note
from .wording import duration

if TYPE_CHECKING:
    from ..flows.engine import Engine

__all__ = ["run"]

_FLOW = typer.Argument(metavar="FLOW", help="File of its definition; without one, what --as has.", show_default=False)
_NAMESPACE = typer.Option("--namespace", "-n", metavar="NAME", help="Where it is registered; made if need be.")
_AS = typer.Option("--as", metavar="PATH", help="Its path there; by default / and the file's name.", show_default=False)
_INPUT = typer.Option("--input", "-i", metavar="JSON", help="Its input: JSON, @FILE, or - for stdin.")
_TIMEOUT = typer.Option(metavar="TIME", help="Cancel it after 90s, 15m, 12h.", show_default=False)


def run(
    flow: Annotated[str | None, _FLOW] = None,
    namespace: Annotated[str, _NAMESPACE] = "default",
    path: Annotated[str | None, _AS] = None,
    given: Annotated[str | None, _INPUT] = None,
    functions: FunctionsOption = None,
    timeout: Annotated[str | None, _TIMEOUT] = None,
    quiet: QuietOption = False,
    store: StoreOption = None,
    storage: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a flow in this process, and print the data at its end as JSON.

    Its file is checked as a whole, and registered in the namespace, so that its workflow's variables are found again;
    so are the files of its subflows where they lie beside it under the paths that it names. What it logs goes to
    stderr. Ctrl-C cancels it. One that was killed, or whose terminal was closed, is gone on with by: holdfast runs
    resume. The store is made if need be. With --json all about the run, and each line of its log as an object.

    \b
    Examples:
      holdfast run counter.yaml
      holdfast run forecast.yaml --namespace prod --as /team/forecast.yaml --input '{"city": "Moab"}' --timeout 15m
      cat cities.json | holdfast run forecast.yaml --input - --functions functions.toml
      holdfast run --as /team/forecast.yaml --namespace prod
    """
    named = path or os.path.basename(flow or "")
    if flow is None and path is None:
        raise InvalidArgumentError("name the FLOW to run: a file, or by --as what is registered already")
    from .attending import attend  # all of flows, which few commands need
    from .recorded_flows import FlowRun
    from .registering import gather

    seconds = None if timeout is None else duration(timeout, "--timeout").total_seconds()
    data = _input(given, quiet or as_json)
    caller = functions_from(functions)
    gathered = None if flow is None else gather(named, flow, caller.check)
    with open_store(store, create=flow is not None, storage=storage) as opened:
        home = opened.namespace(namespace)
        if gathered is not None:
            gathered.register(home, quiet or as_json)
        target = named if gathered is None else gathered.path

        def begin(engine: Engine) -> str:
            return engine.start(home, target, data, invoker="cli")

        id, output = attend(home, caller, begin, seconds, as_json, quiet)
        FlowRun(home, id).answer(output, as_json)


def _input(given: str | None, quiet: bool) -> bytes | None:
    """The bytes of the input; those of a file or of stdin may be anything, as a service takes them, too.

    Unless ``quiet``, tell of those that are no JSON: a mistake shows late else.
    """
    from ..flows.json_text import parse

    if given is None:
        return None
    elsewhere = _elsewhere(given)
    try:
        data = given.encode() if elsewhere is None else elsewhere
        if data or elsewhere is None:
            parse(data)
    except ValueError as error:
        if elsewhere is None:
            raise InvalidArgumentError(f"--input takes JSON, a text in double quotes, @FILE, or -: {error}") from None
        if not quiet:
            note(f"the input is no JSON: the flow has it as base64, in .input ({error})")
    return data


def _elsewhere(given: str) -> bytes | None:
    """What the file has that is named, or stdin; None for a text that is the input itself."""
    if given == "-":
        return sys.stdin.buffer.read()
    if not given.startswith("@"):
        return None
    try:
        with open(given[1:], "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise NotFoundError(f"no file {given[1:]}") from None
