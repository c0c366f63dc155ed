"""Artifacts: named sets of files with metadata, as scopes of kind ``artifact``."""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import IO, Any, Unpack

from .errors import ExistsError, InvalidKeyError, NotFoundError
from .files import make_folder
from .model import Record
from .options import PutOptions
from .scope import BaseScope
from .streams import guess_type
from .transaction import Atomic, Buffered

__all__ = ["METADATA", "Artifact", "Artifacts", "Metadata"]

METADATA = ".artifact.json"
"""Key of the record that holds an artifact's metadata, a JSON object; listings of files leave it out."""

_JSON = "holdfast.json@v1"


class Metadata(MutableMapping[str, Any]):
    """An artifact's metadata as a mapping of strings to JSON values; each change is one atomic update."""

    def __init__(self, scope: BaseScope[Any]) -> None:
        self._scope = scope

    def _read(self) -> dict[str, Any]:
        values: dict[str, Any] = self._scope.get(METADATA, {})
        return values

    def __getitem__(self, key: str) -> Any:
        values = self._read()
        if key not in values:
            raise NotFoundError(f"{self._scope} has no metadata {key!r}")
        return values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.merge({key: value})

    def merge(self, values: Mapping[str, Any]) -> None:
        """Set several entries in one atomic update.

        Raises:
            EncodeError: a key that is no str, or a value that JSON cannot hold.
        """
        self._scope.update(METADATA, lambda old: {**old, **values}, default={}, serializer=_JSON)

    def __delitem__(self, key: str) -> None:
        def without(values: dict[str, Any]) -> dict[str, Any]:
            if key not in values:
                raise NotFoundError(f"{self._scope} has no metadata {key!r}")
            return {name: value for name, value in values.items() if name != key}

        self._scope.update(METADATA, without, default={}, serializer=_JSON)

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return f"<Metadata {self._read()!r}>"


class Artifact:
    """A named set of files and their metadata. It comes into being when something is first written to it.

    ``name in artifact``, iteration over file names, and truth (it has a file) work as expected.

    Attributes:
        scope: the scope that it is; everything that a scope can do can be done to it.
        metadata: see :class:`Metadata`.
    """

    def __init__(self, scope: BaseScope[Any]) -> None:
        self.scope = scope
        self.metadata = Metadata(scope)

    @property
    def name(self) -> str:
        """Name among the artifacts of the scope above."""
        return self.scope.name

    @property
    def exists(self) -> bool:
        """Whether it was created or written to, and not deleted since."""
        return self.scope.present

    @property
    def is_empty(self) -> bool:
        """Whether it has no file; metadata does not count."""
        return next(iter(self), None) is None

    def create(self, *, exist_ok: bool = False) -> Artifact:
        """Make it, empty.

        Raises:
            ExistsError: there is one of that name, and ``exist_ok`` is False.
        """
        self.scope.create(exist_ok=exist_ok)
        return self

    def open(self, name: str, mode: str = "r", **options: Any) -> IO[Any]:
        """A file as a Python file; see :meth:`Scope.open <holdfast.Scope.open>`."""
        return self.scope.open(_file(name), mode, **options)

    def read(self, name: str) -> bytes:
        """All bytes of a file."""
        return self.scope.get_bytes(_file(name))

    def read_text(self, name: str, encoding: str = "utf-8") -> str:
        """All text of a file."""
        return self.read(name).decode(encoding)

    def write(self, name: str, data: bytes | str, **options: Unpack[PutOptions]) -> Record:
        """Make or replace a file; text is stored as UTF-8. The content type is that of the name's ending."""
        if isinstance(data, str):
            options.setdefault("content_type", guess_type(name, "utf-8"))
            data = data.encode()
        return self.scope.put_chunks(_file(name), [data], **options)

    def delete(self, name: str) -> None:
        """Remove a file.

        Raises:
            NotFoundError: no such file.
        """
        self.scope.delete(_file(name))

    def list(self, prefix: str = "") -> Iterator[Record]:
        """The files' records, by name."""
        return (record for record in self.scope.list(prefix) if record.key != METADATA)

    def add_file(
        self, source: str | os.PathLike[str], name: str | None = None, **options: Unpack[PutOptions]
    ) -> Record:
        """Take a local file in, by default under its own name."""
        return self.scope.put_file(
            source, _file(os.path.basename(os.path.abspath(source)) if name is None else name), **options
        )

    def add_dir(
        self,
        source: str | os.PathLike[str],
        prefix: str = "",
        *,
        progress: Callable[[int], object] | None = None,
        **options: Unpack[PutOptions],
    ) -> builtins.list[Record]:
        """Take all files below a local folder in, in one commit, under their relative paths."""
        if not prefix and os.path.lexists(os.path.join(source, METADATA)):
            _file(METADATA)
        if isinstance(self.scope._ledger, Buffered):
            return self.scope.put_dir(source, prefix, progress=progress, **options)
        atomic = self.transaction(durability=options.get("durability"))
        with atomic as inside:
            inside.scope.put_dir(source, prefix, progress=progress, **options)
        return atomic.records

    def download(
        self, target: str | os.PathLike[str], *, progress: Callable[[int], object] | None = None
    ) -> builtins.list[str]:
        """Write all files below a local folder, which is made, and give their paths."""
        make_folder(os.fspath(target))
        return self.scope.get_dir("", target, progress=progress, leave_out=(METADATA,))

    def copy(self, name: str, *, to: BaseScope[Any] | None = None) -> Artifact:
        """Make a second artifact of the same files and metadata, in one commit; no bytes are copied.

        Files that are added while it runs may be left out.

        Raises:
            NotFoundError: this artifact does not exist.
            ExistsError: there is one of that name.
        """
        if not self.exists:
            raise NotFoundError(f"no artifact {self.scope}")
        if to is not None:
            self.scope._check_target(to)
        above = self.scope._at(self.scope.path[:-1]) if to is None else to
        target: BaseScope[Any] = above.scope("artifact", name)
        if target.present:
            raise ExistsError(f"{target} exists already")
        with self.scope.transaction() as inside:
            for key in self.scope:
                inside.copy(key, to=target)
        target.create(exist_ok=True)  # of an artifact that is empty
        return Artifact(target)

    def drop(self) -> None:
        """Remove the artifact with all its files and metadata, in one commit.

        Raises:
            NotFoundError: there is none.
        """
        self.scope.drop()

    def transaction(self, *, durability: str | None = None) -> Atomic[Artifact]:
        """A block whose changes to files and metadata happen together at its end, or, if it raises, not at all."""
        scope = self.scope
        scope._outside()
        return Atomic(scope._kernel, lambda ledger: Artifact(scope._inside(ledger)), durability)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name != METADATA and self.scope.exists(name)

    def __iter__(self) -> Iterator[str]:
        return (key for key in self.scope if key != METADATA)

    def __bool__(self) -> bool:
        return not self.is_empty

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Artifact) and self.scope == other.scope

    def __hash__(self) -> int:
        return hash(self.scope)

    def __repr__(self) -> str:
        return f"<Artifact {self.scope}>"


def _file(name: str) -> str:
    if name == METADATA:
        raise InvalidKeyError(f"{METADATA} holds the artifact's metadata: use artifact.metadata")
    return name


class Artifacts:
    """The verbs that a scope has from here."""

    def artifact(self: Any, name: str, *, create: bool = True) -> Artifact:
        """The artifact of a name in this scope; it comes into being when it is first written to.

        Raises:
            NotFoundError: with ``create=False``, and there is none.
        """
        artifact = Artifact(self.scope("artifact", name))
        if not create and not artifact.exists:
            raise NotFoundError(f"no artifact {artifact.scope}")
        return artifact

    def artifacts(self: Any) -> Iterator[Artifact]:
        """The artifacts of this scope, by name."""
        return (Artifact(scope) for scope in self.children("artifact"))
