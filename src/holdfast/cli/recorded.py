"""What runs of every kind have in common, for the commands that list them and look at them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any, ClassVar

from ..api import Scope
from ..errors import InvalidArgumentError
from .printing import paint, time_json
from .wording import age_text, shown

__all__ = ["Recorded"]

_STYLES = {
    "done": "green", "complete": "green", "stored": "dim", "failed": "red", "broken off": "red", "crashed": "red",
    "running": "cyan", "pending": "cyan",
}  # fmt: skip


class Recorded(ABC):
    """A run, as it was recorded when it was looked at.

    Attributes:
        kind: ``graph`` or ``flow``.
        scope: where it ran.
        id, state, begun, ended: of all kinds.
    """

    kind: ClassVar[str]

    def __init__(self, scope: Scope, id: str, state: str, begun: datetime, ended: datetime | None) -> None:
        self.scope = scope
        self.id = id
        self.state = state
        self.begun = begun
        self.ended = ended

    @property
    @abstractmethod
    def goes_on(self) -> bool:
        """Whether somebody runs it."""

    @property
    @abstractmethod
    def how_to_end(self) -> str:
        """What ends it, while it goes on."""

    @property
    @abstractmethod
    def within(self) -> bool:
        """Whether it is a part of another run."""

    @property
    @abstractmethod
    def what(self) -> str:
        """In a few words what it ran, and how it fared."""

    @abstractmethod
    def own_facts(self) -> dict[str, Any]:
        """What ``--json`` shows of this kind, in lists too."""

    @abstractmethod
    def details(self, log: bool) -> dict[str, Any]:
        """What ``--json`` shows beside, of one.

        Raises:
            InvalidArgumentError: the log is asked for, and this kind has none.
        """

    @abstractmethod
    def show(self, log: bool) -> None:
        """Print all about it behind its first line; raises as :meth:`details`."""

    @abstractmethod
    def follow(self, as_json: bool) -> Recorded:
        """Wait until it ends, telling on stderr what happens meanwhile; gives what it is then."""

    @abstractmethod
    def cancel(self) -> None:
        """End it.

        Raises:
            InvalidArgumentError: this kind cannot be ended from elsewhere, or it has ended.
        """

    @abstractmethod
    def resume(self, functions: str | None, as_json: bool, quiet: bool) -> None:
        """Go on with it in this process, to its end.

        Raises:
            InvalidArgumentError: this kind is not gone on with this way, or it did not crash.
            FlowFailed: it failed.
        """

    @abstractmethod
    def remove(self) -> None:
        """Remove what is recorded of it."""

    # --- the same of every kind ---------------------------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """What ``--json`` shows of it in a list."""
        return {
            "is": self.kind, "id": self.id, "scope": str(self.scope), "state": self.state,
            "begun": time_json(self.begun), "ended": time_json(self.ended), **self.own_facts(),
        }  # fmt: skip

    def row(self) -> list[str]:
        """Its line in a list."""
        return [self.id, self.state, age_text(self.begun), shown(str(self.scope)), shown(self.what)]

    def headline(self) -> str:
        """The first line of what is shown of one."""
        state = paint(self.state, _STYLES[self.state]) if self.state in _STYLES else self.state
        return f"{self.id} {state}, {shown(str(self.scope))}"

    def times(self) -> str:
        """When it was begun, and how long it took."""
        took = "" if self.ended is None else f", took {(self.ended - self.begun).total_seconds():.1f} s"
        return f"begun {age_text(self.begun)}{took}"

    def check_over(self) -> None:
        """Let it be removed.

        Raises:
            InvalidArgumentError: it goes on.
        """
        if self.goes_on:
            raise InvalidArgumentError(f"the run {self.id} goes on: {self.how_to_end}")
