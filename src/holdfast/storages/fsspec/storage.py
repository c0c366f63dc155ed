"""A storage on a folder of any file system that fsspec knows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from inspect import signature
from typing import Any, ClassVar
from urllib.parse import urlsplit

from ...errors import InvalidArgumentError, MissingExtraError
from ..base import Storage
from ..remote import RemoteStorage
from ..remote.storage import PATIENCE
from .failures import explain
from .medium import FileMedium

__all__ = ["FsspecStorage"]

_REFUSED = {
    "file": "a folder of this machine is what holdfast.open('folder') uses",
    "local": "a folder of this machine is what holdfast.open('folder') uses",
    "holdfast": "a store cannot keep its bytes in a store",
    "http": "it cannot be written to",
    "https": "it cannot be written to",
}


class FsspecStorage(RemoteStorage):
    """Bytes as files ``<folder>/<writer>/<number>``; the config is ``"<writer>/<number>"``.

    Passwords are in no URL and no pickle: fsspec takes them from ``FSSPEC_<PROTOCOL>_PASSWORD`` or its own
    configuration, and some protocols from keys of their own.

    A reader goes on when a file is deleted. Where a protocol cannot promise that, whatever is read as a stream of more
    than 4 MB is first copied to a temporary file.

    What is in ``memory://`` ends with its process.

    Args:
        url: ``protocol://host/folder``.
        options: what the file system is made with, beside what the URL and fsspec's configuration say. Who unpickles
            this storage has them from there.
        timeout: seconds in which what fails because a connection broke, or none could be made, is done again; where
            the protocol has such a setting, also how long it waits for an answer.
        owner: whose writers :meth:`abandoned` reports: the id of a store.
        patience: seconds after which a writer on another machine that gave no sign of life is taken for dead; clocks
            of machines may differ by half of it.

    Raises:
        InvalidArgumentError: a URL that is not legal, or a protocol that nobody knows.
        MissingExtraError: fsspec, or the protocol's own package, is not installed.
    """

    name: ClassVar[str] = "holdfast.fsspec@v1"

    def __new__(cls, url: str, **options: Any) -> FsspecStorage:
        """A storage of the process' own memory is another kind: nothing of it is left behind."""
        kind = _InProcess if cls is FsspecStorage and str(url).startswith("memory:") else cls
        return object.__new__(kind)

    def __init__(
        self,
        url: str,
        *,
        options: Mapping[str, Any] | None = None,
        timeout: float = 30.0,
        owner: str = "",
        patience: float = PATIENCE,
    ) -> None:
        if not 0 < timeout <= 3600:
            raise InvalidArgumentError(f"timeout is a number of seconds up to an hour, not {timeout!r}")
        self.url = url
        self.timeout = timeout
        protocol, shown = _check(url)
        kind = _file_system(protocol)
        waits = {"timeout": max(1, round(timeout))} if "timeout" in signature(kind.__init__).parameters else {}
        given = dict(kind._get_kwargs_from_urls(url), **(waits | dict(options or {})))
        given |= {"skip_instance_cache": True, "use_listings_cache": False}

        def make() -> Any:
            return kind(**given)

        try:
            root = kind._strip_protocol(url)
        except Exception as error:
            raise InvalidArgumentError(str(explain(error, shown, writing=False))) from error
        super().__init__(FileMedium(make, str(root), shown, timeout), owner, patience)

    def __repr__(self) -> str:
        return f"FsspecStorage({self.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.url, self.timeout, self.owner, self.patience)


class _InProcess(FsspecStorage):
    ephemeral: ClassVar[bool] = True
    remote: ClassVar[bool] = False
    abandoned = Storage.abandoned  # type: ignore[assignment]


def _again(url: str, timeout: float, owner: str, patience: float) -> FsspecStorage:
    return FsspecStorage(url, timeout=timeout, owner=owner, patience=patience)


def _check(url: str) -> tuple[str, str]:
    """Protocol of a URL, and how messages name it.

    Raises:
        InvalidArgumentError: it is none, or it carries a password.
    """
    parts = urlsplit(str(url))
    protocol = parts.scheme
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*", protocol) or "://" not in str(url) or "::" in str(url):
        raise InvalidArgumentError("a storage through fsspec is like sftp://host/folder or memory://folder")
    if protocol in _REFUSED:
        raise InvalidArgumentError(f"{protocol}:// is no storage: {_REFUSED[protocol]}")
    if parts.password is not None or parts.query or parts.fragment:
        raise InvalidArgumentError(
            f"a {protocol}:// URL of a storage carries no password and no options: set "
            f"FSSPEC_{protocol.upper()}_PASSWORD, or write fsspec's configuration"
        )
    return protocol, str(url).rstrip("/")


def _file_system(protocol: str) -> Any:
    """fsspec's class for a protocol."""
    try:
        from fsspec import get_filesystem_class
    except ImportError as error:
        raise MissingExtraError(f'{protocol}:// needs fsspec: pip install "holdfast[fsspec]"') from error
    try:
        return get_filesystem_class(protocol)
    except ValueError:
        raise InvalidArgumentError(
            f"no file system is known for {protocol}://: mend the URL, or install the package that brings it"
        ) from None
    except ImportError as error:
        package = getattr(error.__cause__, "name", None)
        how = f" (pip install {package})" if package else ""
        raise MissingExtraError(f"{protocol}:// needs a package of its own beside fsspec{how}: {error}") from error
