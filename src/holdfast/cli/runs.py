"""Runs of flows and of graphs of tasks, anywhere in the store: which there were, how each fared, and how to go on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import islice
from typing import Annotated
from uuid import UUID

import typer

from ..api import Scope, Store
from ..errors import HoldfastError, InvalidArgumentError, NotFoundError
from ..graph.runs import KIND
from ..upkeep.verifier import scopes_from
from .arguments import BelowOption, FunctionsOption, JsonOption, QuietOption, StoreOption, open_store, parse_scope
from .printing import answer, document, json_line, note, print_columns
from .recorded import Recorded
from .recorded_graphs import GraphRun
from .wording import count_text, duration

__all__ = ["cancel", "ls", "resume", "rm", "show"]

_LIMIT = 100  # lines for a person, unless said otherwise

_MOST = typer.Option(metavar="N", min=0, help=f"Most lines: {_LIMIT}; for --json all.")
_RUN = typer.Argument(metavar="RUN", help="Its id, the beginning of that, or latest.", show_default=False)
_RUNS = typer.Argument(metavar="RUN...", help="Ids, beginnings of ids, or latest.", show_default=False)
_FOLLOW = typer.Option("--follow", "-f", help="Go on showing what happens, until the run ends.")
_LOG = typer.Option("--log", help="The log of a flow's run, too.")
_OLDER = typer.Option("--older-than", metavar="TIME", help="All that are older than 30d, 12h, 15m.", show_default=False)


def ls(
    below: BelowOption = "",
    limit: Annotated[int | None, _MOST] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the runs of the store, the newest first.

    Each with its id, state, age, the scope where it ran, and what it ran: of a graph, how many nodes are in which
    state; of a flow, the path of its workflow, marked if it is a subflow, and its error, or the state where it is. A
    graph's run that is broken off, and a flow's that crashed, is one whose program has ended without saying so: the
    next run of the graph goes on from there, and runs resume goes on with the flow. With --json one object a line.

    \b
    Examples:
      holdfast runs ls
      holdfast runs ls --scope namespace:prod/workflow:forecast --json
    """
    most = limit if limit is not None else None if as_json else _LIMIT
    with open_store(store) as opened:
        found = _all(opened, below)
        for_show = list(islice(found, most))
        if as_json:
            for run in for_show:
                json_line(run.facts())
        else:
            print_columns([run.row() for run in for_show])
            if not for_show:
                note("no runs are recorded here")
        if most is not None and next(found, None) is not None:
            note(f"... and more: raise --limit (it was {most:,})")


def show(
    run: Annotated[str, _RUN],
    below: BelowOption = "",
    log: Annotated[bool, _LOG] = False,
    follow: Annotated[bool, _FOLLOW] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one run: of a flow its states, and its error or output; of a graph each of its nodes.

    The latest is the newest one that is no subflow of another. A node has its state, name, function, seconds, bytes,
    and what it raised. Stored: its result was there. Unneeded: nothing needed it. Elsewhere: another run is about it.
    Skipped: it depends on one that failed. What is followed, lines of the log or nodes that end, goes to stderr.

    \b
    Examples:
      holdfast runs show latest --log
      holdfast runs show 20260101T1200 --json
      holdfast runs show latest --follow
    """
    with open_store(store) as opened:
        found = _one(opened, below, run)
        if follow:
            found = found.follow(as_json)
        if as_json:
            document({**found.facts(), **found.details(log)})
        else:
            print(found.headline())
            found.show(log)


def resume(
    run: Annotated[str, _RUN],
    below: BelowOption = "",
    functions: FunctionsOption = None,
    quiet: QuietOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on, in this process, with the run of a flow that crashed, and print the data at its end as JSON.

    It goes on behind the last state that is recorded as finished: nothing that a setter wrote is written twice; a
    call of a function whose end was not recorded is made again. All else is as of holdfast run.

    \b
    Examples:
      holdfast runs resume latest
      holdfast runs resume 01977c3e --functions functions.toml
    """
    with open_store(store) as opened:
        _one(opened, below, run).resume(functions, as_json, quiet)


def cancel(
    run: Annotated[str, _RUN],
    below: BelowOption = "",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """End the run of a flow, whoever runs it, with its subflows and the functions that it calls.

    What its states stored stays. One that crashed is ended, too: it is then not resumed any more.

    \b
    Examples:
      holdfast runs cancel latest
      holdfast runs cancel 01977c3e --scope namespace:prod
    """
    with open_store(store) as opened:
        found = _one(opened, below, run)
        found.cancel()
        ended = _one(opened, below, found.id)
    answer(as_json, ended.facts(), f"{ended.id} {ended.state}")


def rm(
    runs: Annotated[list[str] | None, _RUNS] = None,
    older: Annotated[str, _OLDER] = "",
    below: BelowOption = "",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what is recorded of runs. What they have stored stays, as do runs that go on.

    \b
    Examples:
      holdfast runs rm 20260101T120000-123456-ab12
      holdfast runs rm --older-than 30d --scope namespace:prod
    """
    if bool(runs) == bool(older):
        raise InvalidArgumentError("say which runs to remove: their ids, or --older-than")
    with open_store(store) as opened:
        if runs:
            found = list({each.id: each for each in (_one(opened, below, run) for run in runs)}.values())
        else:
            age = duration(older, "--older-than")
            now = datetime.now(timezone.utc)
            found = [each for each in _all(opened, below) if now - each.begun >= age and not each.goes_on]
        for each in found:
            each.check_over()
        for each in found:
            each.remove()
    answer(as_json, {"runs": [each.id for each in found]}, f"removed {count_text(len(found), 'run')}")


# --- finding them -----------------------------------------------------------------------------------------------------


def _all(store: Store, below: str, begins: str = "") -> Iterator[Recorded]:
    """Those whose ids begin so, the newest first."""
    from ..flows.instances import Instances  # some more milliseconds, which other commands need not wait
    from .recorded_flows import FlowRun

    place = parse_scope(store, below)
    scopes = [scope for scope in scopes_from(place) if isinstance(scope, Scope) and scope.kind == KIND]
    lives: dict[str, Instances] = {}
    for scope in sorted(scopes, key=lambda scope: (_begun(scope.name), scope.name), reverse=True):
        if len(scope.path) < 2 or not scope.name.startswith(begins):
            continue
        home = scope._at(scope.path[:-1])
        try:
            if _is_uuid(scope.name):
                yield FlowRun(home, scope.name, lives.setdefault(str(home), Instances(home)))
            else:
                yield GraphRun(home, scope.name)
        except (HoldfastError, KeyError, TypeError):
            continue  # a scope of that kind that is somebody else's; or it was removed just now


def _one(store: Store, below: str, run: str) -> Recorded:
    """One of them.

    Raises:
        NotFoundError: there is none, or there are several.
        InvalidArgumentError: nothing is named, as by a variable of a shell that is not set.
    """
    if not run:
        raise InvalidArgumentError("name a run by its id, the beginning of that, or latest: runs ls shows them")
    if run == "latest":
        found = list(islice((each for each in _all(store, below) if not each.within), 1))
    else:
        found = list(_all(store, below, run))
    exact = [each for each in found if each.id == run]
    if len(exact or found) != 1:
        what = f"{len(found)} runs have ids that begin with" if found else "no run"
        raise NotFoundError(f"{what} {run}: runs ls shows them")
    return (exact or found)[0]


def _begun(id: str) -> float:
    """When a run began, in seconds: its id says it."""
    if _is_uuid(id):
        return (UUID(id).int >> 80) / 1000
    try:
        return datetime.strptime(id[:22] + "+0000", "%Y%m%dT%H%M%S-%f%z").timestamp()
    except ValueError:
        return 0.0


def _is_uuid(name: str) -> bool:
    return re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", name) is not None
