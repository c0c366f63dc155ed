"""Whether a scheduler is still there, told from outside."""

from __future__ import annotations

import time

from .configs import Session, place
from .connection import Link, existing
from .probe import SECONDS, listens

__all__ = ["Liveness"]

_SURE, _UNSURE = 1.0, 30.0
"""How long an answer is believed, in seconds; the one that took time longer."""


class Liveness:
    """Answers whether sessions last, and remembers each for a moment."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, bool]] = {}

    def lasts(self, text: str) -> bool:
        """Whether that session lasts; True where it cannot be told."""
        until, answer = self._known.get(text, (0.0, True))
        now = time.monotonic()
        if now < until:
            return answer
        session = Session.parse(text)
        if session is None:
            return True
        told = _tell(session, existing())
        if len(self._known) > 1000:
            self._known.clear()
        spent = time.monotonic() - now
        seconds = float("inf") if told is False else _UNSURE if spent > SECONDS / 2 else _SURE
        self._known[text] = (now + seconds, told is not False)
        return told is not False


def _tell(session: Session, link: Link | None) -> bool | None:
    """Whether a session lasts; None where that cannot be told."""
    if link is not None:
        if link.scheduler == session.scheduler:
            return True
        if link.address == session.address:
            return False  # another one has taken its place
    if session.machine:
        machine, boot = place()
        if session.machine != machine:
            return None
        if session.boot != boot:
            return False
    answer = listens(session.address)
    if answer and link is not None:
        return link.is_at(session.scheduler, session.address)
    return answer
