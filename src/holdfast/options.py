"""What a put can be told beside key and value."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol, TypedDict

from .catalog.base import ABSENT, Fence
from .compression import check_compression
from .config import DURABILITIES
from .errors import InvalidArgumentError
from .model import from_epoch

__all__ = [
    "ON_DISK",
    "PLAIN",
    "TIERS",
    "Fenced",
    "Plan",
    "PutOptions",
    "check_content_type",
    "check_options",
    "check_version",
    "expiry",
    "fence_of",
    "tags_text",
    "tier_of",
]


class Fenced(Protocol):
    """A lease, as writes see it: of either colour."""

    @property
    def fence(self) -> Fence:
        """Name and token, while it is held."""


class PutOptions(TypedDict, total=False):
    """The keyword arguments of every verb that writes.

    Attributes:
        tags: strings to strings, to search by.
        expires: a timedelta from now, or an aware datetime: the record is hidden at once when it is due.
        content_type: MIME type to record instead of the serializer's own.
        serializer: registered name, instead of the one chosen by the value's type.
        compression: ``"zstd"`` or ``"lz4"``, ``"none"`` where the serializer has one; what does not shrink by a tenth
            is stored as it is.
        durability: ``"process"`` or ``"power"``, instead of the store's default.
        if_version: write only while the visible version is this one (0: none), else ConflictError.
        if_absent: write only if there is no visible record, else ExistsError.
        lease: write only while this lease is held, else LeaseLost.
        tier: ``"durable"``; ``"memory"`` for a value that ends with the executor's session, in its memory; or
            ``"auto"`` for there while it has room, and to stay, else durable. A value may be in both.
    """

    tags: Mapping[str, str] | None
    expires: timedelta | datetime | None
    content_type: str | None
    serializer: str | None
    compression: str | None
    durability: str | None
    if_version: int | None
    if_absent: bool
    lease: Fenced | None
    tier: str


class Plan(NamedTuple):
    """Put options, checked and as the catalog takes them; ``tier`` is None for durable."""

    tags: str | None = None
    expires: float | None = None
    content_type: str | None = None
    serializer: str | None = None
    power: bool = False
    if_version: int | None = None
    fence: Fence | None = None
    compression: str | None = None
    tier: str | None = None

    @property
    def conditional(self) -> bool:
        """Whether the write depends on what is there."""
        return self.if_version is not None or self.fence is not None


TIERS = ("durable", "memory", "auto")
"""Where a put may put a value."""

PLAIN, ON_DISK = Plan(), Plan(power=True)
"""No options given, to a store of durability ``process`` and to one of ``power``."""

_NAMES = frozenset(PutOptions.__annotations__)


def check_options(options: PutOptions, now: Any, power: bool) -> Plan:
    """Check options; ``now`` is a function that gives the catalog's time, ``power`` the store's own durability.

    Raises:
        TypeError: an unknown option.
        InvalidArgumentError: one that is not legal.
    """
    unknown = options.keys() - _NAMES
    if unknown:
        raise TypeError(f"unexpected option {min(unknown)!r}; there are {', '.join(sorted(_NAMES))}")
    durability = options.get("durability")
    if durability is not None and durability not in DURABILITIES:
        raise InvalidArgumentError(f"durability must be 'process' or 'power', not {durability!r}")
    if_version = check_version(options.get("if_version"))
    if options.get("if_absent"):
        if if_version:
            raise InvalidArgumentError("if_absent and if_version exclude each other")
        if_version = ABSENT
    content_type = options.get("content_type")
    if content_type is not None:
        check_content_type(content_type)
    return Plan(
        tags=tags_text(options.get("tags")),
        expires=expiry(options.get("expires"), now),
        content_type=content_type,
        serializer=_serializer(options.get("serializer")),
        power=power if durability is None else durability == "power",
        if_version=if_version,
        fence=fence_of(options.get("lease")),
        compression=check_compression(options.get("compression")),
        tier=_tier(options, durability),
    )


def _tier(options: PutOptions, durability: str | None) -> str | None:
    tier = options.get("tier", TIERS[0])
    if tier not in TIERS:
        raise InvalidArgumentError(f"tier must be {', '.join(map(repr, TIERS[:-1]))} or {TIERS[-1]!r}, not {tier!r}")
    if tier == TIERS[1] and durability is not None:
        raise InvalidArgumentError("what lies in memory has no durability: leave it away, or put it durably")
    return None if tier == TIERS[0] else tier


def tier_of(tier: str | None) -> int | None:
    """The number of the tier that a reader names, None for both.

    Raises:
        InvalidArgumentError: there is no such tier.
    """
    if tier is None:
        return None
    if tier not in TIERS[:2]:
        raise InvalidArgumentError(f"tier must be {' or '.join(map(repr, TIERS[:2]))}, not {tier!r}")
    return TIERS.index(tier)


def _serializer(name: Any) -> str | None:
    if name is None or isinstance(name, str):
        return name
    raise InvalidArgumentError(f"serializer must be a registered name, not {name!r}")


def fence_of(lease: Fenced | None) -> Fence | None:
    """Name and token of a lease that is given and held.

    Raises:
        InvalidArgumentError: it is no lease.
        LeaseLost: it is not held.
    """
    if lease is None:
        return None
    fence = getattr(lease, "fence", None)  # its LeaseLost passes
    if not isinstance(fence, Fence):
        raise InvalidArgumentError(f"lease must be one that store.lease() gave, not {lease!r}")
    return fence


def check_version(if_version: Any, name: str = "if_version") -> int | None:
    """Give the version that an argument names back when it is one: of a record, 0 for none, None for any.

    Raises:
        InvalidArgumentError: it is no number of 64 bits from 0 on.
    """
    if if_version is None:
        return None
    if type(if_version) is int and 0 <= if_version < 1 << 63:
        return if_version
    raise InvalidArgumentError(f"{name} must be a record's version, or 0 for none, not {if_version!r}")


def check_content_type(content_type: object) -> str:
    """Give a MIME type back when it can be a header's value.

    Raises:
        InvalidArgumentError: it is no str, empty, longer than 1,000 characters (a catalog keeps each for ever), or has
            control or non-ASCII characters.
    """
    if isinstance(content_type, str) and re.fullmatch("[ -~]{1,1000}", content_type):
        return content_type
    raise InvalidArgumentError(
        f"content_type must be printable ASCII such as 'text/csv', of 1 to 1,000 characters, not {content_type!r:.200}"
    )


def tags_text(tags: Mapping[str, str] | None) -> str | None:
    """Tags as the catalog keeps them: JSON with sorted keys, None for none.

    Raises:
        InvalidArgumentError: not strings to strings, or text that is no UTF-8.
    """
    if not tags:
        return None
    try:
        pairs: dict[Any, Any] = dict(tags)
        sound = {type(text) for text in (*pairs.keys(), *pairs.values())} == {str}
        text = json.dumps(pairs, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError):
        sound = False
    if not sound:
        raise InvalidArgumentError(f"tags must map strings to strings, not {tags!r}")
    return text


def expiry(expires: timedelta | datetime | None, now: Any) -> float | None:
    """When a record ends, in the catalog's seconds.

    Raises:
        InvalidArgumentError: neither a timedelta nor an aware datetime, or beyond the years that a datetime has.
    """
    if expires is None:
        return None
    seconds: float
    given: object = expires
    if isinstance(given, timedelta):
        seconds = now() + given.total_seconds()
    elif isinstance(given, datetime) and given.utcoffset() is not None:
        seconds = given.timestamp()
    else:
        raise InvalidArgumentError(f"expires must be a timedelta or a datetime with a time zone, not {expires!r}")
    try:
        from_epoch(seconds)  # what the record will say
    except (OverflowError, ValueError):
        raise InvalidArgumentError(f"expires {expires!r} is beyond the years 1 to 9999") from None
    return seconds
