"""Results of memoized functions: what is stored, anywhere in the store, and why a call would hit or miss."""

from __future__ import annotations

import os
import sys
from ast import literal_eval
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, redirect_stdout, suppress
from datetime import datetime, timezone
from importlib import import_module
from itertools import islice
from json import loads
from typing import Annotated, Any

import typer

from ..api import Scope
from ..errors import HoldfastError, InvalidArgumentError, NotFoundError
from ..memoize.shelf import CALLS, CODES, KIND, digests
from ..model import Record
from ..upkeep.verifier import scopes_from
from .arguments import BelowOption, JsonOption, Place, StoreOption, complete_address, open_store, parse_scope
from .commands import MISS
from .printing import answer, document, json_line, note, print_columns, record_json, time_json
from .progress import progress
from .wording import age_text, count_text, duration, left_text, shown, size_text

__all__ = ["explain", "forget", "ls", "stats"]

_LIMIT = 1000  # lines for a person, unless said otherwise
_NAMED = 10  # functions that an error names
_ENDS = ("oldest", "newest")
_SHORT = 8  # digits of a digest, for a person

_WHICH = "Its name, as in forecast.model.simulate, the end of that, or the scope with its results."
_FUNCTION = typer.Argument(metavar="FUNCTION", help=_WHICH, autocompletion=complete_address, show_default=False)
_MOST = typer.Option(metavar="N", min=0, help=f"Most lines: {_LIMIT}; for --json all.")
_CALL = typer.Option(metavar="CALL", help="Only this call, as memo ls names it, of whichever code.")
_OLDER = typer.Option("--older-than", metavar="TIME", help="Only results older than 7d, 12h, 15m.", show_default=False)
_STALE = typer.Option("--stale", help="Only results of other code than the newest's.")
_ARGUMENTS = typer.Argument(metavar="ARGUMENTS", help="NAME=VALUE, '[...]' by position, '{...}' by name.")


def ls(
    function: Annotated[str | None, _FUNCTION] = None,
    below: BelowOption = "",
    limit: Annotated[int | None, _MOST] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the memoized functions of the store, or the stored calls of one.

    A function has its scope, the number of its results and their bytes, the age of the newest, and of how many versions
    of its code they are. A call, the newest first, has the name that forget --call takes, bytes and age, its code (old
    code: not that of the newest result), and its arguments. With --json one object a line.

    \b
    Examples:
      holdfast memo ls
      holdfast memo ls simulate --limit 10
      holdfast memo ls --scope namespace:prod --json
    """
    most = limit if limit is not None else None if as_json else _LIMIT
    with open_store(store) as opened:
        scopes, newest = _chosen(parse_scope(opened, below), function)
        lines: Iterator[dict[str, Any]] = map(_sum, scopes)
        if function is not None:
            lines = (_call(record, newest) for scope in scopes for record in scope.list(CALLS, order="-updated"))
        some = islice(lines, most)
        if as_json:
            for facts in some:
                json_line(facts)
        else:
            rows = [_row(facts) if function is None else _call_row(facts) for facts in some]
            print_columns(rows, right=(1, 2))
            if not rows:
                note("nothing is memoized here" if function is None else "no results are stored")
        if next(lines, None) is not None:
            note(f"... and more: raise --limit (it was {most:,})")


def stats(
    function: Annotated[str | None, _FUNCTION] = None, store: StoreOption = None, as_json: JsonOption = False
) -> None:
    """Sum up what is stored of each memoized function, or of one, and of all together.

    Expired results are those that gc will remove. Hits and misses are not in the store: each process counts its own,
    and the function's stats() tells them.

    \b
    Examples:
      holdfast memo stats
      holdfast memo stats simulate --json
    """
    with open_store(store) as opened:
        found = [_sum(scope) for scope in _chosen(opened, function)[0]]
    total = {name: sum(facts[name] for facts in found) for name in ("results", "size", "expired")}
    if as_json:
        document({**total, "functions": found})
        return
    print_columns([_row(facts, whole=True) for facts in found], right=(1, 2))
    together = f"{count_text(total['results'], 'result')}, {size_text(total['size'])}, {total['expired']:,} expired"
    print(f"{count_text(len(found), 'function')}: {together}")


def forget(
    function: Annotated[str, _FUNCTION],
    call: Annotated[str, _CALL] = "",
    older: Annotated[str, _OLDER] = "0s",
    stale: Annotated[bool, _STALE] = False,
    everything: Annotated[bool, typer.Option("--all", help="All results.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove stored results of a function, so that these calls are computed anew.

    Several conditions must all hold. The age is that of storing, or with evict="lru" of the last use. Results are
    hidden at once; gc frees the disk.

    \b
    Examples:
      holdfast memo forget simulate --call 5d41402a
      holdfast memo forget forecast.model.simulate --older-than 7d --stale
      holdfast memo forget simulate --all --yes
    """
    age = duration(older, "--older-than")
    some = bool(call or age or stale)
    if everything == some:
        problem = "--all stands alone" if some else "say what to forget"
        raise InvalidArgumentError(f"{problem}: give --all, or only some by --call, --older-than and --stale")
    going, staying, size = [], set(), 0
    with open_store(store) as opened:
        scopes, newest = _chosen(opened, function)
        now = datetime.now(timezone.utc)
        for scope in scopes:
            for record in scope.list(CALLS):
                its_code, its_call = digests(record.key)
                if its_call.startswith(call) and now - record.updated >= age and not (stale and its_code == newest):
                    going.append((scope, record.key))
                    size += record.size
                else:
                    staying.add((scope, its_code))
        if call and len(calls := {digests(key)[1] for _, key in going}) != 1:
            raise NotFoundError(f"{len(calls) or 'no'} calls are named {call}: memo ls shows the names")
        what = f"{count_text(len(going), 'result')} of {shown(scopes[0].name)} ({size_text(size)})"
        if going and not call and not yes and sys.stdin.isatty():
            typer.confirm(f"Forget {what}?", abort=True, err=True)
        with progress("forgetting", len(going), bytes_=False) as tell:
            for scope, key in going:
                scope.delete(key, missing_ok=True)
                tell(1)
        for scope, code in {(scope, digests(key)[0]) for scope, key in going} - staying:
            scope.delete(CODES + code, missing_ok=True)
    facts = {"function": scopes[0].name, "results": len(going), "size": size}
    answer(as_json, facts, f"forgot {what}" if going else "nothing to forget")


def explain(
    function: Annotated[str, typer.Argument(metavar="MODULE:FUNCTION", help="As in forecast.model:simulate.")],
    arguments: Annotated[list[str] | None, _ARGUMENTS] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether a call of a memoized function would hit or miss, and why; the function is not called.

    The module is imported as python -m does, from the working directory too, so that its top level runs. A VALUE is
    JSON, or as Python writes it, as in size=(3,4), else text. --store is for functions of @holdfast.memoize: others
    know their store. The exit code is 0 for a hit and 5 for a miss.

    \b
    Examples:
      holdfast memo explain forecast.model:simulate speed=3 load=4
      holdfast memo explain forecast.model:simulate '[3, 4]' '{"steps": 10}' --json
    """
    args, kwargs = _arguments(arguments or ())
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(sys.stderr))  # what the module prints
        if store is not None:
            stack.enter_context(stack.enter_context(open_store(store)).context())
        memo = _load(function)
        try:
            found = memo.explain(*args, **kwargs)
        except TypeError as error:
            if isinstance(error, HoldfastError):
                raise
            raise InvalidArgumentError(f"{function} does not take these arguments: {error}") from error
    facts = {**found._asdict(), "record": found.record and record_json(found.record)}
    answer(as_json, facts, "\n".join(map(shown, str(found).splitlines())))
    if not found:
        raise typer.Exit(MISS)


def _chosen(place: Place, function: str | None) -> tuple[list[Scope], str]:
    """The scopes of one function, or of all, below a place; and the code of the newest result in them."""
    found = every = [scope for scope in scopes_from(place) if isinstance(scope, Scope) and scope.kind == KIND]
    if function is None:
        return found, ""
    name = function.replace(":", ".")  # also as explain takes it
    for fits in (function.__eq__, lambda text: text.endswith(f":{name}"), lambda text: text.endswith(f".{name}")):
        if found := [scope for scope in every if fits(str(scope))]:
            break
    names = sorted({scope.name for scope in found or every})
    listed = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if names[_NAMED:] else "") or "none"
    if not found:
        raise NotFoundError(f"no memoized function {function}: there is {listed}")
    if len(names) > 1:
        raise InvalidArgumentError(f"{function} may be {listed}: name one of them")
    last = [record for scope in found for record in scope.list(CALLS, order="-updated", limit=1)]
    return found, digests(max(last, key=lambda record: record.updated).key)[0] if last else ""


def _sum(scope: Scope) -> dict[str, Any]:
    """What a scope holds of its function."""
    times, size, codes = [], 0, set()
    for record in scope.list(CALLS):
        times.append(record.updated)
        size += record.size
        codes.add(digests(record.key)[0])
    facts = {"function": scope.name, "scope": str(scope), "results": len(times), "size": size, "codes": len(codes)}
    ends = {"oldest": time_json(min(times, default=None)), "newest": time_json(max(times, default=None))}
    return {**facts, **ends, "expired": scope.usage(expired=True).records}


def _row(facts: dict[str, Any], whole: bool = False) -> list[str]:
    ends = [f"{name} {age_text(datetime.fromisoformat(facts[name]))}" if facts[name] else "" for name in _ENDS]
    row = [shown(facts["scope"]), count_text(facts["results"], "result"), size_text(facts["size"])]
    row += [*ends[not whole :], count_text(facts["codes"], "code")]
    return [*row, f"{facts['expired']:,} expired"] if whole else row


def _call(record: Record, newest: str) -> dict[str, Any]:
    """All about a stored call."""
    code, call = digests(record.key)
    arguments = {name: tag.partition(" ")[2] for name, tag in record.tags.items()}
    return {"call": call, "code": code, "old": code != newest, "arguments": arguments, **record_json(record)}


def _call_row(facts: dict[str, Any]) -> list[str]:
    age, end = (facts[name] and datetime.fromisoformat(facts[name]) for name in ("updated", "expires"))
    row = [facts["call"][:_SHORT], size_text(facts["size"]), age_text(age)]
    row += [f"{'old ' if facts['old'] else ''}code {facts['code'][:_SHORT]}", f"ends {left_text(end)}" if end else ""]
    return [*row, shown(f"({', '.join(f'{name}={text}' for name, text in facts['arguments'].items())})")]


def _arguments(words: Iterable[str]) -> tuple[list[Any], dict[str, Any]]:
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        given = {name: _value(text)} if equals and name.isidentifier() else _value(word)
        if isinstance(given, dict):
            if twice := kwargs.keys() & given.keys():
                raise InvalidArgumentError(f"the argument {min(twice)} is given twice")
            kwargs |= given
        elif isinstance(given, list):
            args += given
        else:
            raise InvalidArgumentError(f"{word!r} is no argument: write NAME=VALUE, or '[...]' for those by position")
    return args, kwargs


def _value(text: str) -> Any:
    for read in (loads, literal_eval):
        with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return read(text)
    return text


def _load(text: str) -> Any:
    """The memoized function of a module, which is imported."""
    from ..memoize.memo import Memo

    module, _, name = text.partition(":") if ":" in text else text.rpartition(".")
    if not module or not name or module.endswith(".py"):
        raise InvalidArgumentError(f"{text!r} is no MODULE:FUNCTION, such as forecast.model:simulate (and no file)")
    if (folder := os.getcwd()) not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: Any = import_module(module)
    except (Exception, SystemExit) as error:
        raise HoldfastError(f"{module} cannot be imported: {type(error).__name__}: {error}") from error
    for part in name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, Memo):
        raise InvalidArgumentError(f"{module} has no memoized function {name}")
    return found
