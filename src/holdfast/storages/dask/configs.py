"""What names a piece of bytes on a cluster, and what names the cluster."""

from __future__ import annotations

import os
import re
import secrets
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple

from ...errors import InvalidArgumentError
from ..places import boot_id, host_id

__all__ = ["Config", "Session", "new_name", "place"]

_SCHEDULER = r"[A-Za-z_]\w{0,60}-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ADDRESS = r"[a-z]{2,12}://[0-9A-Za-z_.:\[\]%-]{1,80}(?:/[0-9]{1,10}){0,2}"
_CONFIG = re.compile(
    rf"(?P<scheduler>{_SCHEDULER})/(?P<name>[0-9a-f]{{32}})"
    rf"(?:!|\.(?P<size>0|[1-9][0-9]{{0,17}})(?:x(?P<parts>[1-9][0-9]{{0,8}})|@(?P<worker>{_ADDRESS})))",
    re.ASCII,
)
_SESSION = re.compile(
    rf"(?P<address>{_ADDRESS})(?:\|(?P<machine>[0-9a-f]{{12}})\.(?P<boot>[0-9a-f]{{12}}))?\|(?P<scheduler>{_SCHEDULER})",
    re.ASCII,
)


def new_name() -> str:
    """A name that nothing else ever has. It begins with a digit, by which Dask takes all of ours for one group of
    tasks."""
    return "0" + secrets.token_hex(16)[1:]


class Config(NamedTuple):
    """One value on a cluster; as text it is ``<scheduler>/<name>`` and then ``.<bytes>@<worker>`` for a piece that was
    written at once, ``.<bytes>x<parts>`` for one that came as a stream, ``!`` for a Dask collection.

    Attributes:
        scheduler: id of the scheduler; no other ever has it.
        name: of the value there.
        size: bytes; None for a collection.
        parts: how many the stream was cut into; 0 for a piece in one.
        worker: address of the worker that took the piece; others may have it by now.
    """

    scheduler: str
    name: str
    size: int | None
    parts: int = 0
    worker: str = ""

    def __str__(self) -> str:
        if self.size is None:
            return f"{self.scheduler}/{self.name}!"
        return f"{self.scheduler}/{self.name}.{self.size}" + (f"x{self.parts}" if self.parts else f"@{self.worker}")

    @property
    def keys(self) -> list[str]:
        """Dask's keys of the bytes, in their order; none for a collection, whose keys are its own."""
        if self.size is None:
            return []
        whole = f"holdfast-{self.name}"
        return [f"{whole}-{number}" for number in range(self.parts)] if self.parts else [whole]

    @property
    def dataset(self) -> str:
        """The name that a collection is published under."""
        return f"holdfast-{self.name}"

    @classmethod
    def parse(cls, config: Any) -> Config:
        """
        Raises:
            InvalidArgumentError: no memory of a Dask cluster gave it.
        """
        found = _CONFIG.fullmatch(config) if isinstance(config, str) and len(config) <= 400 else None
        if found is None:
            raise InvalidArgumentError(f"no memory of a Dask cluster gave the config {str(config)[:100]!r}")
        size = found["size"]
        return cls(
            found["scheduler"],
            found["name"],
            None if size is None else int(size),
            int(found["parts"] or 0),
            found["worker"] or "",
        )


class Session(NamedTuple):
    """The life of one scheduler; as text ``<address>|<scheduler>``, and between them ``<machine>.<boot>|`` where the
    address means something on one machine only.

    Attributes:
        address: what it is reached at.
        scheduler: its id.
        machine: the machine (or container), "" for any.
        boot: the start of that machine.
    """

    address: str
    scheduler: str
    machine: str = ""
    boot: str = ""

    def __str__(self) -> str:
        place = f"{self.machine}.{self.boot}|" if self.machine else ""
        return f"{self.address}|{place}{self.scheduler}"

    @classmethod
    def of(cls, address: str, scheduler: str) -> Session:
        """The session of a scheduler that this process talks to."""
        return cls(address, scheduler, *place()) if _is_of_one_machine(address) else cls(address, scheduler)

    @classmethod
    def parse(cls, session: str) -> Session | None:
        """None for a text that is no such session's."""
        found = _SESSION.fullmatch(session)
        return found and cls(found["address"], found["scheduler"], found["machine"] or "", found["boot"] or "")


def _is_of_one_machine(address: str) -> bool:
    kind, _, rest = address.partition("://")
    return kind == "inproc" or re.match(r"127\.|localhost\b|\[?::1\b", rest) is not None


@cache
def place() -> tuple[str, str]:
    """This machine or container, and its start, as 12 hex digits each."""
    rooms = []
    for kind in ("net", "pid"):
        try:
            rooms.append(os.readlink(f"/proc/self/ns/{kind}"))
        except OSError:
            rooms.append("")
    machine = "\n".join([host_id(), *rooms])
    return sha256(machine.encode()).hexdigest()[:12], sha256(boot_id().encode()).hexdigest()[:12]
