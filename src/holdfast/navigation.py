"""The way from a store, scope or transaction down to the scopes below it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Generic, TypeVar

from .address import Path, check_name, parse_path
from .errors import InvalidScopeError
from .kernel import Kernel

__all__ = ["Names", "Navigation"]

S = TypeVar("S")


class Names(ABC, Generic[S]):
    """Names scopes below :attr:`path`. A scope so named is a path: it comes into being when it is first written to.

    Attributes:
        path: ``(kind, name)`` pairs from the root; ``()`` for a store.
    """

    path: Path

    @abstractmethod
    def _at(self, path: Path) -> S:
        """The scope of a path, acting as this one does."""

    def scope(self, kind: str, name: str | None = None) -> S:
        """The scope of any kind and name below this one, or, given one text, of a path such as ``a:x/b:y`` below it.

        Raises:
            InvalidScopeError: an illegal kind, name or path.
        """
        if name is None:
            if not isinstance(kind, str):
                raise InvalidScopeError(f"a scope is named by text, not by {kind!r}")
            below = parse_path(kind)
            if not below:
                raise InvalidScopeError("a scope has a kind and a name, as in scope('namespace', 'prod')")
            return self._at(self.path + below)
        return self._at((*self.path, check_name(kind, name)))

    def namespace(self, name: str) -> S:
        """A namespace: the outermost place of a project or a team."""
        return self.scope("namespace", name)

    def workflow(self, name: str) -> S:
        """A workflow: what belongs to one flow, over all its runs."""
        return self.scope("workflow", name)

    def instance(self, name: str) -> S:
        """An instance: what belongs to one run of a workflow."""
        return self.scope("instance", name)

    def workspace(self, name: str) -> S:
        """A workspace: what all entities of one application share."""
        return self.scope("workspace", name)

    def entity(self, name: str) -> S:
        """An entity of a workspace."""
        return self.scope("entity", name)

    def session(self, name: str) -> S:
        """A session: what is dropped when an editor or a user leaves."""
        return self.scope("session", name)


class Navigation(Names[S]):
    """And lists those that exist."""

    _kernel: Kernel

    def children(self, kind: str | None = None) -> Iterator[S]:
        """The scopes directly below that exist, by kind and name; of one kind if it is given."""
        after = None if kind is None else (check_name(kind, "-")[0], "")
        while True:
            page = self._kernel.catalog.children(self.path, after, 1000)
            for info in page:
                if kind is not None and info.kind != kind:
                    return
                yield self._at(info.path)
            if len(page) < 1000:
                return
            after = (page[-1].kind, page[-1].name)
