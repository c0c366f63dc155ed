"""The run context: the store and the scope that the code which runs now works in, found without passing them on.

It is a :class:`contextvars.ContextVar`: threads and asyncio tasks each have their own, and what one enters, no other
sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, Generic, NamedTuple

from .address import Path, check_name
from .errors import InvalidArgumentError, InvalidScopeError
from .navigation import S
from .store import BaseStore

__all__ = ["DEFAULT_PATH", "Block", "Contexts", "RunContext", "current_context", "make_current", "within"]

DEFAULT_PATH: Path = (("namespace", "default"),)
"""Where the module's own verbs act when nothing names a scope."""

_FLOW = ("namespace", "workflow", "instance")
_APP = ("workspace", "entity", "session")


class RunContext(NamedTuple):
    """What a ``with store.context(...)`` block names.

    Attributes:
        store: the store.
        path: the scope that the verbs act on: the innermost one named.
        names: every name that holds here by its kind, those of surrounding contexts of the same store included.
    """

    store: BaseStore[Any]
    path: Path
    names: Mapping[str, str]


_current: ContextVar[RunContext | None] = ContextVar("holdfast_context", default=None)


def current_context() -> RunContext | None:
    """The innermost context that was entered here, None outside of all."""
    return _current.get()


def make_current(context: RunContext | None) -> None:
    """Have here the context that :func:`current_context` gave where a task was submitted, for as long as the context
    variables of this thread or asyncio task last."""
    _current.set(context)


class Block(Generic[S]):
    """What ``store.context(...)`` gives: a ``with`` block. Each caller makes one of its own."""

    def __init__(self, store: BaseStore[S], given: dict[str, str]) -> None:
        self._store = store
        self._given = given
        self._token: Token[RunContext | None] | None = None
        _entered(store, given)  # a wrong name is told here

    def __enter__(self) -> S:
        if self._token is not None:
            raise InvalidArgumentError("this context is entered already: make another one by store.context()")
        entered = _entered(self._store, self._given)
        self._token = _current.set(entered)
        return self._store._at(entered.path or DEFAULT_PATH)

    def __exit__(self, *how: object) -> None:
        token, self._token = self._token, None
        assert token is not None
        _current.reset(token)


@contextmanager
def within(store: BaseStore[Any], path: Path) -> Iterator[None]:
    """A block whose verbs act on the scope of a path, whatever its kinds; of these the families' names hold in it."""
    names = {kind: name for kind, name in path if kind in _FLOW + _APP}
    token = _current.set(RunContext(store, path, names))
    try:
        yield
    finally:
        _current.reset(token)


class Contexts(BaseStore[S]):
    """The verbs that a store has from here."""

    def context(
        self,
        *,
        namespace: str | None = None,
        workflow: str | None = None,
        instance: str | None = None,
        workspace: str | None = None,
        entity: str | None = None,
        session: str | None = None,
    ) -> Block[S]:
        """A block in which :func:`holdfast.current`, ``holdfast.put``, ``holdfast.get`` and their kin act in a scope of
        this store. Gives that scope.

        The names are of two families: ``namespace``, ``workflow``, ``instance``, each within the one before, and
        ``workspace`` with an ``entity`` or a ``session`` in it (given both, the verbs act on the entity). A context in
        another one of the same store goes on from its names: inside ``namespace="prod"`` a ``workflow="forecast"`` is
        the one in that namespace. Naming nothing selects the store alone.

        Raises:
            InvalidScopeError: names of both families, or a name that is not legal.
        """
        values = (namespace, workflow, instance, workspace, entity, session)
        given = {kind: name for kind, name in zip(_FLOW + _APP, values, strict=True) if name is not None}
        return Block(self, given)


def _entered(store: BaseStore[Any], given: dict[str, str]) -> RunContext:
    around = _current.get()
    if around is None or not around.store._kernel.same_store(store._kernel):
        around = RunContext(store, (), {})
    if not given:
        return around._replace(store=store)
    family = _FLOW if given.keys() <= set(_FLOW) else _APP
    if not given.keys() <= set(family):
        raise InvalidScopeError(
            f"a context names {', '.join(_FLOW)} or {', '.join(_APP)}, not some of both: {', '.join(given)}"
        )
    # Plain text, whatever kind of text it was: these names end up in paths, and those in pickles.
    given = {kind: str(check_name(kind, name)[1]) for kind, name in given.items()}
    # A name takes those within it away: another namespace has workflows of its own. Entities and sessions are beside.
    first = min(family.index(kind) for kind in given)
    stays = family[: first if family is _FLOW or first == 0 else len(family)]
    names = {kind: name for kind, name in around.names.items() if kind not in family or kind in stays} | given
    path = [(kind, names[kind]) for kind in family if kind in names]
    if family is _APP:  # of an entity and a session the one that this call names, the entity before the session
        inner = [kind for kind in _APP[1:] if kind in given][:1]
        path = [pair for pair in path if pair[0] in ("workspace", *inner)]
    return RunContext(store, tuple(path), names)
