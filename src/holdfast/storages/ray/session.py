"""How a session is named, and told from those that have ended.

A session is that of a cluster and of its keeper: ``<cluster>@<host:port>/<machine>/<token>``. The last part alone
would name it; the others tell, from outside the cluster too, that it has ended.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..dialing import dial
from .keeper import machine

__all__ = ["Session", "answers"]

_SESSION = re.compile(r"(?P<cluster>[!-~]+)@(?P<address>[!-.0-~]+)/(?P<machine>[!-.0-~]+)/(?P<token>[0-9a-f]{16})")

_SECONDS = 2.0  # in which a head answers


class Session(NamedTuple):
    """A session.

    Attributes:
        cluster: Ray's name of the cluster's start.
        address: where its head answers.
        machine: the machine that the head is on.
        token: by which the keeper of this store in it is known, and no other.
    """

    cluster: str
    address: str
    machine: str
    token: str

    def __str__(self) -> str:
        return f"{self.cluster}@{self.address}/{self.machine}/{self.token}"

    @classmethod
    def of(cls, text: str) -> Session | None:
        """The session of such a name; None for another text."""
        found = _SESSION.fullmatch(text)
        return cls(**found.groupdict()) if found else None

    def seen_to_end(self, address: str | None) -> bool:
        """Whether it is certain that its cluster has ended, for a process of another cluster, or of none.

        That can be told on the machine of its head alone: elsewhere the same address may be of another network.

        Args:
            address: of the cluster that this process is in.
        """
        return self.machine == machine() and (self.address == address or not answers(self.address))


def answers(address: str) -> bool:
    """Whether somebody listens at ``host:port``, as far as a connection tells."""
    try:
        dial(address, _SECONDS).close()
    except OSError:
        return False
    return True
