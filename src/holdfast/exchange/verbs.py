"""The verbs: export, import, sync."""

from __future__ import annotations

import os
from typing import Any

from ..errors import ExistsError, InvalidArgumentError, NotFoundError, StoreError
from ..files import Progress, local_path
from ..kernel import Kernel
from ..signing import Signer
from .results import Exported

__all__ = ["Exchanging", "read_key"]

_Place = str | os.PathLike[str]


class Exchanging:
    """The verbs that a store has from here."""

    _kernel: Kernel

    def export_to(self: Any, folder: _Place, *, key_file: _Place | None = None, progress: Progress = None) -> Exported:
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
        from .items import StoreSource

        folder = os.path.abspath(local_path(folder))
        if key_file is not None:
            _write_key(local_path(key_file), folder, self._kernel.signer)
        return export(StoreSource(self), folder, progress)


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
