"""The keepers of one store, as one process reaches them."""

from __future__ import annotations

import threading
import time
from typing import Any, NamedTuple

from ...errors import StoreError
from . import keeper
from .cluster import Gone, ask, connect, connected, inherited, tell
from .session import Session

__all__ = ["Keepers", "Near"]

_NAMESPACE = "holdfast"
_HEAD = "node:__internal_head__"  # the resource by which Ray tells it
_FRESH = 1.0
"""Seconds for which a look at which session lasts is good."""

_LOOK = 2.0
"""Seconds that such a look takes at most; where it gave nothing, none is taken for five times as long."""

_START = 60.0
"""Seconds in which a new actor has begun: a node may first have to start a process for it."""


class _Root(NamedTuple):
    """The named keeper, as it was met over a connection of this process."""

    connection: str
    actor: Any
    session: Session
    node: str


class Near:
    """The keeper of the node that this process is on.

    Attributes:
        root: token of the named keeper.
        token: its own.
        actor: itself.
        room: bytes that it had room for when it was asked last.
    """

    def __init__(self, root: str, token: str, actor: Any) -> None:
        self.root = root
        self.token = token
        self.actor = actor
        self.room = 0


class Keepers:
    """Finds the keepers of a store, and remembers them as long as this process' connection lasts."""

    def __init__(self, store: str, limit: int | None) -> None:
        self._name = f"memory-{store}"
        self._limit = limit
        self._lock = threading.Lock()
        self._root: _Root | None = None
        self._near: Near | None = None
        self._others: dict[str, Any] = {}
        self._seen: tuple[str, str | None, float] = "", None, 0.0
        self._outside: dict[Session, tuple[bool, float]] = {}

    def root(self, ray: Any, *, begin: bool) -> _Root | None:
        """The named keeper, begun if wished; None where there is none."""
        found = self._root
        if found is not None and found.connection == _connection(ray):
            return found
        with self._lock:
            found = self._root
            if found is None or found.connection != _connection(ray):  # as nobody else found it meanwhile
                self.forget()
                self._root = found = self._begin(ray) if begin else self._meet(ray)
        return found

    def forget(self) -> None:
        """Look for all of them anew: one of them has ended."""
        self._root = self._near = None
        self._others = {}
        self._seen = "", None, 0.0

    def _begin(self, ray: Any) -> _Root:
        """Whoever comes first begins it; it lasts as long as the cluster. It is on the head, whose end is the
        cluster's, and is not begun again by Ray: a new one would hold nothing of what the old one held."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ray.cloudpickle.register_pickle_by_value(keeper)
        [head] = [node["NodeID"] for node in ray.nodes() if node["Alive"] and _HEAD in node["Resources"]]
        actor = ray.remote(keeper.Keeper).options(
            name=self._name,
            namespace=_NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=0,
            max_concurrency=16,
            # also for a task in a placement group, whose bundles have nothing for this
            scheduling_strategy=NodeAffinitySchedulingStrategy(head, soft=False),
        )
        end = time.monotonic() + _START
        while True:
            try:
                return _identify(ray, tell(ray, lambda: actor.remote(self._limit)), _START)
            except Gone as error:  # one that ends just now may still have the name
                if time.monotonic() > end:
                    raise StoreError(f"no keeper of Holdfast's memory comes up on the Ray cluster: {error}") from error
            time.sleep(0.1)

    def _meet(self, ray: Any, wait: float | None = None) -> _Root | None:
        try:
            return _identify(ray, tell(ray, lambda: ray.get_actor(self._name, namespace=_NAMESPACE)), wait)
        except (ValueError, Gone):
            return None

    def near(self, ray: Any) -> Near:
        """The keeper of this node, begun if need be."""
        root = self.root(ray, begin=True)
        assert root is not None
        found = self._near
        if found is None or found.root != root.session.token:
            node = ray.get_runtime_context().get_node_id()
            token, actor = root.session.token, root.actor
            if node != root.node:
                token, actor = ask(ray, root.actor, "place", node, None)
            self._near = found = Near(root.session.token, token, actor)
        return found

    def lost(self, ray: Any, near: Near) -> None:
        """A keeper that was asked to keep something has ended: the next call of :meth:`near` finds another."""
        root = self._root
        self.forget()
        if root is not None and near.token != near.root:
            try:
                ask(ray, root.actor, "place", ray.get_runtime_context().get_node_id(), near.token)
            except Gone:
                pass  # it ended with the named one

    def reach(self, ray: Any, root: str, token: str) -> Any | None:
        """The keeper of these tokens; None when it, or the session, has ended."""
        found = self.root(ray, begin=False)
        if found is None or found.session.token != root:
            return None
        if token == root:
            return found.actor
        actor = self._others.get(token)
        if actor is None:
            actor = self._others[token] = ask(ray, found.actor, "reach", token)
        return actor

    def session(self) -> Session:
        """The session of this process' cluster, joined or begun if need be."""
        ray = connect()
        root = self.root(ray, begin=True)
        assert root is not None
        return root.session

    def alive(self, session: Session) -> bool:
        """Whether a session lasts, as far as can be told from here."""
        ray = connected()
        if ray is None:
            return inherited() or not self._seen_to_end(session, None)
        cluster = ray.get_runtime_context().get_session_name()
        if session.cluster == cluster:
            return self._look(ray, cluster) in (session.token, None)
        return not self._seen_to_end(session, ray.get_runtime_context().gcs_address)

    def _seen_to_end(self, session: Session, address: str | None) -> bool:
        """:meth:`Session.seen_to_end`, as it was a second ago at most; what has ended does not come back."""
        ended, looked = self._outside.get(session, (False, -_FRESH))
        if not ended and time.monotonic() - looked > _FRESH:
            ended = session.seen_to_end(address)
            self._outside[session] = ended, time.monotonic()
        return ended

    def _look(self, ray: Any, cluster: str) -> str | None:
        """The token of this store's session in this process' cluster, as it was a second ago at most: "" for none, and
        None where that cannot be told."""
        seen, token, good = self._seen
        if seen != cluster or time.monotonic() > good:
            try:
                met = self._meet(ray, _LOOK)
                token, good = met.session.token if met else "", time.monotonic() + _FRESH
            except StoreError:
                token, good = None, time.monotonic() + 5 * _LOOK
            self._seen = cluster, token, good
        return token


def _identify(ray: Any, actor: Any, wait: float | None) -> _Root:
    token, node, machine = ask(ray, actor, "identity", wait=wait)
    context = ray.get_runtime_context()
    session = Session(context.get_session_name(), context.gcs_address, machine, token)
    return _Root(_connection(ray), actor, session, node)


def _connection(ray: Any) -> str:
    """A name of this process' connection: another one after each ray.init()."""
    return str(ray.get_runtime_context().get_worker_id())
