"""Runs of graphs of tasks, anywhere in the store: which there were, and how each node of one fared."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import islice
from typing import Annotated, Any

import typer

from ..api import Scope, Store
from ..errors import InvalidArgumentError, NotFoundError
from ..graph.plan import STATES
from ..graph.runs import KIND, UNDER_WAY, NodeInfo, RunInfo
from ..upkeep.verifier import scopes_from
from .arguments import JsonOption, StoreOption, complete_address, open_store, parse_scope
from .printing import answer, document, json_line, note, paint, print_columns, time_json
from .wording import age_text, count_text, duration, shown, size_text

__all__ = ["ls", "rm", "show"]

_LIMIT = 100  # lines for a person, unless said otherwise
_PAUSE = 0.5  # seconds between two looks at a run that is followed
_STYLES = {"done": "green", "stored": "dim", "failed": "red", "broken off": "red", "running": "cyan"}

_BELOW = typer.Option("--scope", metavar="PATH", help="Only below this scope.", autocompletion=complete_address)
_MOST = typer.Option(metavar="N", min=0, help=f"Most lines: {_LIMIT}; for --json all.")
_RUN = typer.Argument(metavar="RUN", help="Its id, the beginning of that, or latest.", show_default=False)
_RUNS = typer.Argument(metavar="RUN...", help="Ids, or beginnings of ids.", show_default=False)
_FOLLOW = typer.Option("--follow", "-f", help="Go on showing what ends, until the run does.")
_OLDER = typer.Option("--older-than", metavar="TIME", help="All that began before 30d, 12h, 15m.", show_default=False)

_Found = tuple[Scope, RunInfo]


def ls(
    below: Annotated[str, _BELOW] = "",
    limit: Annotated[int | None, _MOST] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the runs of the store, the newest first.

    Each with its id, state, age, the scope whose graph it ran, and how many nodes are in which state. A run that is
    broken off is one whose program has ended without saying so: the next run of its graph goes on from there. With
    --json one object a line.

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
            for scope, run in for_show:
                json_line(_facts(scope, run))
        else:
            print_columns([_row(scope, run) for scope, run in for_show])
            if not for_show:
                note("no runs are recorded here")
        if most is not None and next(found, None) is not None:
            note(f"... and more: raise --limit (it was {most:,})")


def show(
    run: Annotated[str, _RUN],
    below: Annotated[str, _BELOW] = "",
    follow: Annotated[bool, _FOLLOW] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one run: what was asked for, where it ran, and each of its nodes.

    A node has its state, name, function, seconds, bytes, and what it raised. Stored: its result was there. Unneeded:
    nothing needed it. Elsewhere: another run is about it. Skipped: it depends on one that failed.

    \b
    Examples:
      holdfast runs show latest
      holdfast runs show 20260101T1200 --json
      holdfast runs show latest --follow
    """
    with open_store(store) as opened:
        scope, found = _one(opened, below, run)
        if follow:
            found = _followed(scope, found)
        nodes = scope.runs.nodes(found.id)
        if as_json:
            document({**_facts(scope, found), "nodes": [_node_facts(node) for node in nodes]})
            return
        print(f"{found.id} {_painted(found.state)}, {shown(str(scope))}")
        where = found.where
        print(
            f"{_times(found)}; {found.executor or 'no executor was needed'}; reuse {found.reuse or 'nothing'}; "
            f"process {where.get('process')} of {shown(str(where.get('host')))}, Python {where.get('python')}, "
            f"Holdfast {where.get('holdfast')}"
        )
        print(f"asked for {shown(', '.join(found.targets[:10]))}{' and more' if found.targets[10:] else ''}")
        print_columns([_node_row(node) for node in nodes], right=(3, 4))


def rm(
    runs: Annotated[list[str] | None, _RUNS] = None,
    older: Annotated[str, _OLDER] = "",
    below: Annotated[str, _BELOW] = "",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what is recorded of runs. Their results stay, as do runs that go on.

    \b
    Examples:
      holdfast runs rm 20260101T120000-123456-ab12
      holdfast runs rm --older-than 30d --scope namespace:prod
    """
    if bool(runs) == bool(older):
        raise InvalidArgumentError("say which runs to remove: their ids, or --older-than")
    with open_store(store) as opened:
        if runs:
            going = [_one(opened, below, run) for run in runs]
        else:
            age = duration(older, "--older-than")
            now = datetime.now(timezone.utc)
            going = [(scope, run) for scope, run in _all(opened, below) if now - run.begun >= age]
            going = [(scope, run) for scope, run in going if run.state != UNDER_WAY]
        lasting = [run.id for _, run in going if run.state == UNDER_WAY]
        if lasting:
            raise InvalidArgumentError(f"the run {lasting[0]} goes on: end its program first")
        for scope, run in going:
            scope.runs.remove(run.id)
    answer(as_json, {"runs": [run.id for _, run in going]}, f"removed {count_text(len(going), 'run')}")


def _all(store: Store, below: str) -> Iterator[_Found]:
    place = parse_scope(store, below)
    found = [scope for scope in scopes_from(place) if isinstance(scope, Scope) and scope.kind == KIND]
    for scope in sorted(found, key=lambda scope: scope.name, reverse=True):
        home = scope._at(scope.path[:-1]) if len(scope.path) > 1 else None
        if home is not None:
            try:
                yield home, home.runs.get(scope.name)
            except (NotFoundError, KeyError, TypeError):
                continue  # a scope of that kind that is somebody else's; or it was removed just now


def _one(store: Store, below: str, run: str) -> _Found:
    found = [pair for pair in _all(store, below) if run == "latest" or pair[1].id.startswith(run)]
    if not found or (len(found) > 1 and run != "latest" and found[0][1].id != run):
        what = f"{len(found)} runs have ids that begin with" if found else "no run"
        raise NotFoundError(f"{what} {run}: runs ls shows them")
    return found[0]


def _followed(scope: Scope, run: RunInfo) -> RunInfo:
    """Wait until a run ends, and tell on stderr which nodes come to an end meanwhile."""
    known: set[str] = set()
    while True:
        run = scope.runs.get(run.id)
        for node in scope.runs.nodes(run.id):
            if node.ended is not None and node.name not in known:
                known.add(node.name)
                note("  ".join(cell for cell in _node_row(node) if cell))
        if run.state != UNDER_WAY:
            return run
        time.sleep(_PAUSE)


def _painted(state: str) -> str:
    return paint(state, _STYLES[state]) if state in _STYLES else state


def _times(run: RunInfo) -> str:
    if run.ended is None:
        return f"begun {age_text(run.begun)}"
    return f"begun {age_text(run.begun)}, took {(run.ended - run.begun).total_seconds():.1f} s"


def _counts(run: RunInfo) -> str:
    return ", ".join(f"{run.counts[state]:,} {state}" for state in reversed(STATES) if run.counts.get(state))


def _row(scope: Scope, run: RunInfo) -> list[str]:
    return [run.id, run.state, age_text(run.begun), shown(str(scope)), _counts(run)]


def _node_row(node: NodeInfo) -> list[str]:
    seconds = "" if node.seconds is None else f"{node.seconds:.2f} s"
    size = "" if node.size is None else size_text(node.size)
    tries = f"{node.tries} tries" if node.tries > 1 else ""
    return [node.state, shown(node.name), shown(node.task), seconds, size, tries, shown(node.error or "")]


def _facts(scope: Scope, run: RunInfo) -> dict[str, Any]:
    return {
        "id": run.id,
        "scope": str(scope),
        "state": run.state,
        "begun": time_json(run.begun),
        "ended": time_json(run.ended),
        "reuse": run.reuse,
        "executor": run.executor,
        "targets": list(run.targets),
        "counts": dict(run.counts),
        **run.where,
    }


def _node_facts(node: NodeInfo) -> dict[str, Any]:
    facts = node._asdict()
    return {**facts, "begun": time_json(node.begun), "ended": time_json(node.ended), "needs": list(node.needs)}
