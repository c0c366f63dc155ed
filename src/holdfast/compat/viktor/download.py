"""The body of an HTTP response as a stream."""

from __future__ import annotations

import io
from collections.abc import Mapping
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from ...errors import StoreError
from .errors import MissingFileError

__all__ = ["Download"]

_TIMEOUT = 60.0  # seconds that a server may be silent


class Download(io.RawIOBase):
    """What a server sends for a URL. A body that ends early is an error, which the library below does not tell.

    Raises:
        MissingFileError: the server has nothing there.
        StoreError: anything else that goes wrong, at the beginning or while it is read.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        super().__init__()
        self._url = url
        self._response: HTTPResponse | None = None
        try:
            request = Request(url)
            for name, value in headers.items():
                request.add_unredirected_header(name, value)
            self._response = urlopen(request, timeout=_TIMEOUT)
        except HTTPError as error:
            error.close()
            kind = MissingFileError if error.code in (404, 410) else StoreError
            raise kind(f"{url} cannot be read: the server says {error.code} {error.reason}") from None
        except (OSError, HTTPException, ValueError) as error:
            raise StoreError(f"{url} cannot be read: {error}") from error
        self._left = self._response.length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Read what there is, up to the buffer's length."""
        assert self._response is not None
        try:
            count = self._response.readinto(buffer)
        except (OSError, HTTPException) as error:
            raise StoreError(f"{self._url} cannot be read: {error}") from error
        if self._left is not None:
            self._left -= count
            if self._left and not count and len(buffer):
                raise StoreError(f"{self._url} cannot be read: it ended {self._left} bytes too early")
        return count

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
        super().close()
