"""Bearer tokens of a store: who may come over HTTP, and to what.

A token is a record of the scope ``service:tokens``, under its id and with its expiry. Of its secret there is the
SHA-256 only. Whoever can open the store without the service needs none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from secrets import token_hex, token_urlsafe
from time import monotonic
from typing import Any, Final, NamedTuple

from .address import Path, format_path, parse_path
from .errors import HoldfastError, IntegrityError, InvalidArgumentError, InvalidScopeError, NotFoundError
from .model import Record, from_epoch
from .store import BaseStore

__all__ = ["SERVICE", "TOKENS", "VERBS", "Access", "Token", "Tokens"]

SERVICE: Final = "service"
"""Kind of the scopes at the root that are the service's own: no token opens them."""

TOKENS: Final[Path] = ((SERVICE, "tokens"),)
"""Where tokens are."""

VERBS: Final = ("read", "write", "admin")
"""What a token can allow: ``admin`` is dropping and renaming scopes, what they keep and limit, collecting, verifying,
and metrics."""

_REMEMBERED = 4.0  # seconds until a token is looked up again, within the 5 in which a revocation is promised to hold
_MOST = 10_000  # tokens that are remembered
_TEXT = re.compile(r"hft_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", re.ASCII)
_ID = re.compile("[0-9a-f]{16}")
_LONGEST_LABEL = 200


class Access(NamedTuple):
    """What a token opens.

    Attributes:
        scopes: each with all below it; ``()`` among them is the whole store.
        verbs: those of :data:`VERBS` that it allows there.
    """

    scopes: tuple[Path, ...]
    verbs: frozenset[str]

    def allows(self, path: Path, verb: str) -> bool:
        """Whether the verb is allowed on the scope; never on the service's own."""
        if path and path[0][0] == SERVICE:
            return False
        return verb in self.verbs and any(path[: len(scope)] == scope for scope in self.scopes)

    @property
    def opens(self) -> str:
        """What it opens, as text for who is refused."""
        scopes = ", ".join(format_path(scope) or "the whole store" for scope in self.scopes)
        return f"this token opens {scopes:.500} to {', '.join(verb for verb in VERBS if verb in self.verbs)}"


class Token(NamedTuple):
    """What is known of a token, its secret aside.

    Attributes:
        id: 16 hex digits, which stand in its text, too.
        label: what it was given to be told apart by.
        access: what it opens.
        created, expires: when it was made, and when it ends (UTC); None for never.
    """

    id: str
    label: str
    access: Access
    created: datetime
    expires: datetime | None


class Tokens:
    """The tokens of a store. Thread-safe.

    A token that was found good is remembered for a few seconds, so a revocation holds within 5 seconds in all
    processes.
    """

    def __init__(self, store: BaseStore[Any]) -> None:
        self._store = store
        self._scope = store.scope(format_path(TOKENS))
        self._good: dict[bytes, tuple[float, Access]] = {}
        self._in_use = False
        self._looked = float("-inf")

    def create(
        self,
        *,
        scopes: Iterable[Path | str],
        allow: Iterable[str],
        expires: timedelta | datetime | None = None,
        label: str = "",
    ) -> tuple[str, Token]:
        """Make a token, and give its text with what is known of it. The text is nowhere else: it cannot be shown again.

        Args:
            scopes: paths, or their text as ``namespace:prod``; ``()`` or ``"/"`` is the whole store.
            allow: some of :data:`VERBS`.
            expires: when it ends, or after how long; None for never.
            label: to tell it from others.

        Raises:
            InvalidArgumentError, InvalidScopeError: no scope or verb, one that is not legal, or the service's own; an
                expiry that is past; a label of more than 200 characters or with unprintable ones.
        """
        access = Access(_paths(scopes), _verbs(allow))
        named: object = label
        if not (isinstance(named, str) and len(named) <= _LONGEST_LABEL and named.isprintable()):
            raise InvalidArgumentError(f"a label is printable text of at most {_LONGEST_LABEL} characters")
        id, secret = token_hex(8), token_urlsafe(32)
        kept = {
            "secret": sha256(secret.encode()).hexdigest(),
            "scopes": [format_path(path) for path in access.scopes],
            "verbs": [verb for verb in VERBS if verb in access.verbs],
            "label": label,
        }
        self._check_ahead(expires)
        record = self._scope.put(
            id, kept, serializer="holdfast.json@v1", expires=expires, if_absent=True, durability="power"
        )
        self._in_use = True
        return f"hft_{id}_{secret}", Token(id, label, access, record.created, record.expires)

    def _check_ahead(self, expires: timedelta | datetime | None) -> None:
        now = from_epoch(self._store._kernel.catalog.now())
        past = isinstance(expires, timedelta) and expires <= timedelta(0)
        if isinstance(expires, datetime) and expires.utcoffset() is not None:
            past = now is not None and expires <= now
        if past:
            raise InvalidArgumentError(f"a token that expires at {expires} could never be used: name a time ahead")

    def check(self, text: str) -> Access | None:
        """What this token opens; None when it is unknown, expired, revoked, or no token at all.

        The secret is compared in constant time.
        """
        access = self.remembered(text)
        match = _TEXT.fullmatch(text) if access is None else None
        if match is None:
            return access
        good = self._good  # of before the look: what is revoked meanwhile is not remembered behind that
        try:
            entry = self._scope.entry(match[1])
            secret, token = _read(entry.value, entry.record)
        except (NotFoundError, IntegrityError):
            secret, token = "0" * 64, None
        if not compare_digest(sha256(match[2].encode()).hexdigest(), secret) or token is None:
            return None
        self._remember(good, text, token)
        return token.access

    def remembered(self, text: str) -> Access | None:
        """What :meth:`check` found a few seconds ago at most, without a look into the store; None to look."""
        known = self._good.get(_fingerprint(text))
        return known[1] if known is not None and monotonic() < known[0] else None

    def _remember(self, good: dict[bytes, tuple[float, Access]], text: str, token: Token) -> None:
        left = _REMEMBERED
        if token.expires is not None:
            left = min(left, token.expires.timestamp() - self._store._kernel.catalog.now())
        if len(good) >= _MOST:
            good.clear()
        good[_fingerprint(text)] = (monotonic() + left, token.access)

    def list(self) -> list[Token]:
        """All that are not expired, the oldest first.

        Raises:
            IntegrityError: a record among them is no token.
        """
        found = []
        for record in self._scope.list(order="created"):
            with suppress(NotFoundError):  # it was revoked, or expired, meanwhile
                entry = self._scope.entry(record.key)
                found.append(_read(entry.value, entry.record)[1])
        return found

    def revoke(self, id: str) -> None:
        """Remove a token; it opens nothing any more within 5 seconds, here at once.

        Raises:
            NotFoundError: there is none of that id.
            InvalidArgumentError: it is no id, such as the text of a token.
        """
        named: object = id
        if not (isinstance(named, str) and _ID.fullmatch(named)):
            raise InvalidArgumentError("a token is revoked by its id of 16 hex digits, as holdfast token ls shows it")
        gone = self._scope.delete(id, missing_ok=True)
        self._good = {}
        if gone is None:
            raise NotFoundError(f"no token {id}: holdfast token ls lists those that there are")

    def in_use(self) -> bool:
        """Whether a token was ever made for this store, so that requests need one.

        That all expired or were revoked does not open the store to everybody: it stays true until the scope
        ``service:tokens`` is dropped, and in this process to its end. A token that another process made is seen within
        5 seconds.
        """
        if not self._in_use and monotonic() > self._looked + _REMEMBERED:
            self._in_use = self._scope.present
            self._looked = monotonic()
        return self._in_use


def _fingerprint(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogateescape")).digest()


def _paths(scopes: Iterable[Path | str]) -> tuple[Path, ...]:
    if isinstance(scopes, str) or not isinstance(scopes, Iterable):
        raise InvalidArgumentError(f"scopes are several, as in ['namespace:prod'], not {scopes!r}")
    paths = []
    for scope in scopes:
        try:
            path = parse_path("" if scope == "/" else scope if isinstance(scope, str) else format_path(scope))
        except (TypeError, ValueError, AttributeError) as error:
            if isinstance(error, HoldfastError):
                raise
            raise InvalidScopeError(f"a scope is a path, or text such as namespace:prod, not {scope!r}") from None
        if path and path[0][0] == SERVICE:
            raise InvalidScopeError(f"{format_path(path)} is the service's own: no token opens it")
        if path not in paths:
            paths.append(path)
    if not paths:
        raise InvalidArgumentError("name the scopes that the token opens; / is the whole store")
    return tuple(paths)


def _verbs(allow: Iterable[str]) -> frozenset[str]:
    verbs = [allow] if isinstance(allow, str) or not isinstance(allow, Iterable) else list(allow)
    for verb in verbs:
        if verb not in VERBS:
            raise InvalidArgumentError(f"a token can allow {', '.join(VERBS)}, not {verb!r}")
    if not verbs:
        raise InvalidArgumentError(f"name what the token allows: some of {', '.join(VERBS)}")
    return frozenset(verbs)


def _read(value: Any, record: Record) -> tuple[str, Token]:
    """The secret's digest, and the token.

    Raises:
        IntegrityError: the record is no token.
    """
    try:
        access = Access(tuple(map(parse_path, value["scopes"])), frozenset(value["verbs"]))
        secret, label = str(value["secret"]), str(value["label"])
    except (AttributeError, KeyError, TypeError, ValueError):
        raise IntegrityError(f"{record.address} is no token: remove it by holdfast rm {record.address}") from None
    return secret, Token(record.key, label, access, record.created, record.expires)
