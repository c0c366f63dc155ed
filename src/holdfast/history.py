"""Old versions of a scope's keys, and limits on what it may hold."""

from __future__ import annotations

from typing import Any

from .address import check_key
from .catalog.base import HEAD, UNCHANGED, Policy, Unchanged
from .errors import ConflictError, InvalidArgumentError, LeaseLost
from .model import Record
from .options import Fenced
from .reading import make_record
from .values import Values, put_of

__all__ = ["Histories"]


class Histories(Values):
    """The verbs that a scope has from here."""

    def policy(self) -> Policy:
        """What the scope asks for: how many old versions it keeps, and its limits."""
        return self._kernel.catalog.policy(self.path) or Policy()

    def set_policy(
        self,
        *,
        history: int | Unchanged = UNCHANGED,
        max_records: int | None | Unchanged = UNCHANGED,
        max_bytes: int | None | Unchanged = UNCHANGED,
    ) -> Policy:
        """Have old versions kept, and set limits, from now on and for all processes; what is not given stays as it is.

        It holds for this scope, not for those below it. Puts into a scope with a policy cost more.

        Args:
            history: how many replaced, edited or deleted versions of each key are kept; 0 for none. What is kept and
                more than that is gone.
            max_records: how many records the scope may have, None for any number.
            max_bytes: how many bytes these may have together, old versions aside; None for any number.
        """
        given = {"history": history, "max_records": max_records, "max_bytes": max_bytes}
        numbers: dict[str, Any] = {name: number for name, number in given.items() if not isinstance(number, Unchanged)}
        for name, number in numbers.items():
            if not ((number is None and name != "history") or (type(number) is int and number >= 0)):
                raise InvalidArgumentError(f"{name} must be a number, 0 or more, not {number!r}")
        if self._ledger is not self._kernel.catalog:
            raise InvalidArgumentError("a policy is set outside of transactions")
        while True:
            before = self.policy()
            policy = before._replace(**numbers)
            if self._kernel.catalog.set_policy(self.path, policy, before):  # what another sets at this moment stays
                self._kernel.settle()
                return policy

    def history(self, key: str) -> list[Record]:
        """The versions of a key that are kept beside the newest one, the newest first; also of a deleted key."""
        return [
            make_record(self._kernel, self.path, row[:HEAD]) for row in self._ledger.past(self.path, check_key(key))
        ]

    def restore(self, key: str, version: int, *, lease: Fenced | None = None) -> Record:
        """Make an old version, with its tags and expiry, the newest one again, under a new number; no bytes are copied.

        Raises:
            NotFoundError: this version is not kept; it says which ones are.
            ConflictError: ``lease`` is not held (LeaseLost).
        """
        while True:
            row = self._version(key, version)
            try:
                return self._change(put_of(self.path, key, row), lease)
            except LeaseLost:
                raise
            except ConflictError:
                if self._version(key, version) == row:
                    raise
