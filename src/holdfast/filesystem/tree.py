"""A store as a tree: scopes, and what keys begin with before a ``/``, are folders; records are files."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from fsspec.spec import AbstractFileSystem
from fsspec.utils import stringify_path, tokenize

from ..address import Path, prefix_end
from ..catalog.base import HEAD, Ledger
from ..config import find_config
from ..context import current_context
from ..errors import InvalidArgumentError, NotFoundError
from ..kernel import NATIVE_INTEGER, Kernel, shared_kernel
from ..model import Record
from ..reading import make_record, seen, visible_record
from ..scope import BaseScope
from ..store import BaseStore, OpenKernel
from .atomic import FileTransaction
from .faults import FileMissing, IsFolder, as_file_errors
from .names import PROTOCOL, name_of, place_of, strip

__all__ = ["Tree"]

_IGNORED = ("asynchronous", "loop", "batch_size", "use_listings_cache", "listings_expiry_time", "max_paths")
_PAGE, _FEW = 1000, 100

_mine = threading.local()


def _kernel_of(store: Any, create: bool, options: dict[str, Any]) -> Kernel:
    """The kernel of the store that is meant: one for all that name the same one in this process."""
    settings = {name: value for name, value in options.items() if name not in _IGNORED}
    context = current_context() if store is None else None
    opened = store if context is None else context.store
    if not isinstance(opened, BaseStore | Kernel):
        return shared_kernel(OpenKernel, find_config(store, **settings), create=create)
    if settings:
        raise InvalidArgumentError(f"an open store has its settings: leave {', '.join(settings)} away")
    return opened if isinstance(opened, Kernel) else opened._kernel


class Tree(AbstractFileSystem):  # type: ignore[misc]
    """What is there and what is known of it. Nothing is remembered: every look is a look into the catalog."""

    protocol = PROTOCOL
    cachable = False  # by what was said; __new__ does it by the store that is meant
    transaction_type = FileTransaction
    _kernel: Kernel

    def __new__(cls, store: Any = None, *, create: bool = True, **options: Any) -> Tree:
        """The one of this thread and open store, so that ``with fs.transaction:`` holds for addresses, too."""
        kernel = _kernel_of(store, create, options)
        made: Any = _mine.__dict__.setdefault("made", weakref.WeakValueDictionary())
        same = (cls, kernel, os.getpid())  # a fork has its own: the parent may be in a transaction
        fs: Tree | None = made.get(same)
        if fs is None:
            fs = made[same] = cls._on(kernel)
        return fs

    def __init__(self, store: Any = None, *, create: bool = True, **options: Any) -> None:
        super().__init__()

    @classmethod
    def _on(cls, kernel: Kernel) -> Any:
        """A new one, with a transaction of its own."""
        fs = object.__new__(cls)
        fs._kernel = kernel
        AbstractFileSystem.__init__(fs)
        return fs

    def __reduce__(self) -> tuple[Any, ...]:
        if self._intrans:
            raise InvalidArgumentError("a file system in a transaction stays in its process")
        return type(self), (self._kernel,)

    @property
    def _fs_token(self) -> str:
        return str(tokenize(self.fsid, self._kernel.config.store))

    @property
    def fsid(self) -> str:
        """The protocol and the store's id."""
        return f"{PROTOCOL}-{self._kernel.catalog.store_id}"

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return [cls._strip_protocol(item) for item in path] if isinstance(path, list) else strip(stringify_path(path))

    @property
    def _ledger(self) -> Ledger:
        return self.transaction.ledger if self._intrans else self._kernel.catalog

    def _scope(self, path: Path) -> BaseScope[Any]:
        return BaseScope(self._kernel, path, self._ledger)

    def _file(self, path: Any) -> tuple[BaseScope[Any], str]:
        """Scope and key of a file's address."""
        name = self._strip_protocol(path)
        place, key = place_of(name)
        if key is None:
            raise IsFolder(f"{name!r} names a scope and no file: a ':' in a key's first segment is written %3A")
        return self._scope(place), key

    # --- what is known ------------------------------------------------------------------------------------------------

    def _is_folder(self, place: Path, key: str | None) -> bool:
        if key is not None:
            return bool(self._ledger.keys(place, f"{key}/", prefix_end(f"{key}/"), 1))
        made = self._intrans and place and place in self.transaction.scopes(place[:-1])
        return bool(not place or made or self._kernel.catalog.scope(place) is not None)

    def _entry(self, scope: BaseScope[Any], key: str) -> tuple[Any, ...]:
        """The catalog's row of a file."""
        try:
            return scope._entry(key)
        except NotFoundError:
            if self._is_folder(scope.path, key):
                raise IsFolder(f"{name_of(scope.path, key)} is a folder") from None
            raise

    @as_file_errors
    def _record(self, path: Any) -> Record:
        scope, key = self._file(path)
        return make_record(self._kernel, scope.path, self._entry(scope, key)[:HEAD])

    def _describe(self, place: Path, row: Any) -> dict[str, Any]:
        record = make_record(self._kernel, place, row)
        size = record.unpacked_size
        if record.serializer == NATIVE_INTEGER.serializer:  # it lies there as a number, and is read as its digits
            found = seen(self._kernel, self._ledger, place, record.key)
            size = size if found is None else len(str(found[9]))
        told = {name: getattr(record, name) for name in ("content_type", "serializer", "version", "tags", "digest")}
        times = {"created": row[4], "mtime": row[5], "expires": row[6]}
        return {"name": name_of(place, record.key), "size": size, "type": "file", **times, **told}

    @as_file_errors
    def info(self, path: Any, **options: Any) -> dict[str, Any]:
        """Name, size and type; of a file also ``created``, ``mtime`` and ``expires`` (seconds since 1970),
        ``content_type``, ``serializer``, ``version``, ``tags`` and ``digest``.

        Raises:
            FileMissing: no such file or folder.
            InvalidScopeError, InvalidKeyError: no address.
        """
        name = self._strip_protocol(path)
        place, key = place_of(name)
        row = None if key is None else visible_record(self._kernel, self._ledger.record(place, key))
        if row is not None:
            return self._describe(place, row)
        if not self._is_folder(place, key):
            raise FileMissing(f"no file and no folder {name}")
        return _folder(name)

    def _type(self, path: Any) -> str | None:
        try:
            kind: str = self.info(path)["type"]
        except FileNotFoundError:
            return None
        return kind

    def exists(self, path: Any, **options: Any) -> bool:
        return self._type(path) is not None

    def isfile(self, path: Any) -> bool:
        return self._type(path) == "file"

    def isdir(self, path: Any) -> bool:
        return self._type(path) == "directory"

    def created(self, path: Any) -> datetime:
        return self._record(path).created

    def modified(self, path: Any) -> datetime:
        return self._record(path).updated

    def ukey(self, path: Any) -> str:
        record = self._record(path)
        return record.digest or f"{record.address}@{record.version}"

    def checksum(self, path: Any) -> int:
        return int(tokenize(self.ukey(path)), 16)

    # --- listing ------------------------------------------------------------------------------------------------------

    def _entries(self, name: str) -> Iterator[dict[str, Any]]:
        """What lies directly in a folder; nothing for what is none."""
        place, key = place_of(name)
        if key is None:
            yield from (_folder(name_of(child)) for child in self._children(place))
        if place:
            yield from self._below(place, "" if key is None else f"{key}/")

    def _children(self, place: Path) -> Iterator[Path]:
        made = self.transaction.scopes(place) if self._intrans else set()
        page = self._kernel.catalog.children(place, None, _PAGE)
        while page:
            yield from (info.path for info in page)
            made -= {info.path for info in page}
            page = self._kernel.catalog.children(place, page[-1].path[-1], _PAGE) if len(page) == _PAGE else []
        yield from sorted(made)

    def _below(self, place: Path, prefix: str) -> Iterator[dict[str, Any]]:
        """Files and folders of keys, in pages; what lies deeper is jumped over.

        An empty segment belongs to the next one: ``a//b`` is ``/b`` in ``a``. A key that ends in ``/`` is no file here.
        """
        begin: str | None = prefix
        inside, limit = "", _FEW
        while begin is not None:
            page = self._ledger.search(place, start=begin, end=prefix_end(prefix), limit=limit)
            shown = 0
            for row in page:
                key, rest = row[0], row[0][len(prefix) :]
                if inside and key.startswith(inside):
                    continue
                shown += 1
                end = rest.find("/", len(rest) - len(rest.lstrip("/")))
                if end > 0:
                    inside = key[: len(prefix) + end + 1]
                    yield _folder(name_of(place, inside[:-1]))
                elif rest.strip("/"):
                    yield self._describe(place, row)
            if len(page) < limit:
                return
            last = page[-1][0]
            begin = prefix_end(inside) if inside and last.startswith(inside) else last + "\0"
            limit = _PAGE if shown * 2 > limit else _FEW

    @as_file_errors
    def ls(self, path: Any, detail: bool = True, **options: Any) -> list[Any]:
        name = self._strip_protocol(path)
        infos = list(self._entries(name))
        if not infos and not self._is_folder(*place_of(name)):
            infos = [self.info(name)]
        return infos if detail else [info["name"] for info in infos]

    @as_file_errors
    def find(
        self, path: Any, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **options: Any
    ) -> Any:
        if maxdepth is not None and maxdepth < 1:
            raise InvalidArgumentError(f"maxdepth must be 1 or more, not {maxdepth}")
        name = self._strip_protocol(path)
        found: dict[str, Any] = {name: _folder(name)} if withdirs and name and self.isdir(name) else {}
        waiting = [(name, 1)]
        while waiting:
            folder, depth = waiting.pop()
            for info in self._entries(folder):
                if info["type"] == "file":
                    found[info["name"]] = info
                    continue
                if withdirs:
                    found.setdefault(info["name"], info)
                if maxdepth is None or depth < maxdepth:
                    waiting.append((info["name"], depth + 1))
        if not found and self.isfile(name):
            found[name] = self.info(name)
        return {each: found[each] for each in sorted(found)} if detail else sorted(found)


def _folder(name: str) -> dict[str, Any]:
    return {"name": name, "size": 0, "type": "directory"}
