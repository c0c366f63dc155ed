"""The verbs: export, import, sync."""

from __future__ import annotations

import os
from typing import Any

from ..errors import ExistsError, InvalidArgumentError, NotFoundError, StoreError
from ..files import Progress, local_path
from ..kernel import Kernel
from ..signing import Signer
from ..store import BaseStore
from .running import Moved

__all__ = ["Exchanging", "read_key"]

_Place = str | os.PathLike[str]


class Exchanging:
    """The verbs that a store has from here."""

    _kernel: Kernel

    def export_to(self: Any, folder: _Place, *, key_file: _Place | None = None, progress: Progress = None) -> Moved:
        """Write all of the store to a new folder as plain files, while others read and write; see docs/export.md.

        Each record is as it is at one moment of the export. A folder with an export that was interrupted is begun anew.

        Args:
            folder: made if need be; it must be empty.
            key_file: a new file, outside of that folder, for the key by which an import can check what was signed.
            progress: called with the number of bytes of each piece written.

        Raises:
            ExistsError: the folder holds a complete export or something else, or the key file is there.
            StoreError: they cannot be written.
        """
        from .export import export
        from .source import StoreSource

        folder = os.path.abspath(local_path(folder))
        if key_file is not None:
            _write_key(local_path(key_file), folder, self._kernel.signer)
        return export(StoreSource(self), folder, progress)

    def import_from(
        self: Any, folder: _Place, *, key_file: _Place | None = None, replace: bool = False, progress: Progress = None
    ) -> Moved:
        """Take over all of an export, record by record, each under its version and times; see docs/export.md.

        Nothing is taken over unless the whole of its documents is sound. If this is interrupted, what was taken over by
        then stays, each record whole; to import again goes on. Records of the store that the export does not have stay.

        Args:
            folder: what an export made. It may come from anybody: no file outside of it is read.
            key_file: the exporter's key; else the store's own is tried. Without it pickles are imported unsigned.
            replace: records of the export replace those that are newer here, under a new version.
            progress: called with the number of bytes of each piece.

        Raises:
            NotFoundError: no export, or no key file, is there.
            DecodeError: the export is damaged, or not complete.
            SchemaError: it is of a later format.
            InvalidArgumentError: the key is of another store.
        """
        from .copying import Copying
        from .folder import FolderSource

        key = None if key_file is None else read_key(local_path(key_file))
        with FolderSource(os.path.abspath(local_path(folder))) as source:
            source.check(key, self._kernel.signer)
            return Copying(source, self, replace, progress).run()

    def sync_to(
        self: Any, target: BaseStore[Any], *, delete: bool = False, replace: bool = False, progress: Progress = None
    ) -> Moved:
        """Bring another store up to what this one has, while others write: only what is newer here is moved.

        What is written during this may be moved or not: to sync again goes on, also after an interruption. Each
        record is moved whole, under its version and times, and signed anew.

        Args:
            target: another open store, of any catalog and storage.
            delete: remove from it the records and scopes that this one does not have.
            replace: records of this store replace those that are newer there, under a new version.
            progress: called with the number of bytes of each piece.

        Raises:
            InvalidArgumentError: the target is no other store.
        """
        from .copying import Copying
        from .source import StoreSource

        if not isinstance(target, BaseStore):
            raise InvalidArgumentError(f"sync_to takes another open store, not {target!r}")
        if self._kernel.same_store(target._kernel):
            raise InvalidArgumentError("a store is not synchronized with itself: open another one")
        source = StoreSource(self)
        return Copying(source, target, replace, progress).run(source if delete else None)


def _write_key(path: str, folder: str, signer: Signer) -> None:
    if os.path.realpath(path).startswith(os.path.join(os.path.realpath(folder), "")):
        raise InvalidArgumentError(f"{path} lies in the export: keep the key in another place than what it signed")
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(signer.key.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        if read_key(path) != signer.key:
            raise ExistsError(f"{path} is there already, with another key: name a new file") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error


def read_key(path: str) -> bytes:
    """The key that an export wrote to a file.

    Raises:
        NotFoundError: no such file.
        InvalidArgumentError: it holds no key.
    """
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return Signer.parse_key(file.read(100), path)
    except FileNotFoundError:
        raise NotFoundError(f"no file {path}") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
