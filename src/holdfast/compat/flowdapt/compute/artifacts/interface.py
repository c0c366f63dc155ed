"""Artifacts and their files."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import IO, Any, cast

from .....api import Scope
from .....artifact import METADATA
from .....artifact import Artifact as Native
from .....errors import ConflictError, EncodeError, InvalidArgumentError, InvalidKeyError
from .....filesystem.faults import FileMissing, as_file_errors
from .....serializers.exact_json import load
from .....streams import guess_type
from ....places import Place, place_of
from ...errors import NotAssertedError

__all__ = ["Artifact", "ArtifactFile", "is_legal"]

_JSON = "holdfast.json@v1"


class _Transaction:
    """An open one: the artifact's scope in it, what to drop at its end, and whether a block in its block failed."""

    def __init__(self, scope: Scope, staged: list[Scope]) -> None:
        self.scope = scope
        self.staged = staged
        self.failed = False


_open: ContextVar[Mapping[Scope, _Transaction]] = ContextVar("flowdapt_transactions", default=MappingProxyType({}))
"""Those that are open here, by the scope of their artifact."""


class ArtifactFile:
    """A file of an artifact, which exists."""

    def __init__(self, filename: str, artifact: Artifact) -> None:
        self._name = filename
        self._artifact = artifact
        if not artifact.has_file(filename):
            raise FileMissing(f"no file {self.path}")

    @classmethod
    def _there(cls, filename: str, artifact: Artifact) -> ArtifactFile:
        """One that is known to be there."""
        file = object.__new__(cls)
        file._name, file._artifact = filename, artifact
        return file

    @classmethod
    @as_file_errors
    def new(cls, artifact: Artifact, filename: str, content: str | bytes | None = None) -> ArtifactFile:
        """Make a file; FileThere (a FileExistsError) when there is one, EncodeError (a TypeError) for other content."""
        file = cls._there(filename, artifact)
        file._put(b"" if content is None else content, if_absent=True)
        return file

    @property
    def artifact(self) -> Artifact:
        """Whose file it is."""
        return self._artifact

    @property
    def name(self) -> str:
        """Name in the artifact."""
        return self._name

    @property
    def path(self) -> str:
        """The artifact's path, and the name behind it."""
        return f"{self._artifact.path}/{self._name}"

    @as_file_errors
    def open(self, mode: str = "r") -> IO[Any]:
        """A Python file, to be used in a ``with`` block: ``r`` or ``w``, as text or with ``b``.

        What is written is visible when the block ends, whole or, if it raises, not at all.

        Raises:
            FileMissing: it, or the artifact, is gone (a FileNotFoundError).
            InvalidArgumentError: another mode.
        """
        scope = self._artifact._scope
        if self._name == METADATA:
            if "r" not in mode:
                raise InvalidKeyError(f"{METADATA} is written as a whole: use set_meta, or write a JSON object")
            text = io.BytesIO(self._artifact._metadata_text())
            return text if "b" in mode else io.TextIOWrapper(text, "utf-8")
        if "r" in mode:
            self._artifact._check()
            return scope.open(self._name, mode)
        file: Any = scope.open(self._name, mode)
        try:
            self._artifact._check()  # from here on, a delete makes the file's end fail
        except BaseException:
            file.abort()
            raise
        return cast(IO[Any], file)

    def read(self, size: int = -1, mode: str = "rb") -> Any:
        """Up to so many bytes, or with ``mode="r"`` characters; all by default, checked against their digest."""
        if mode not in ("r", "rt", "rb"):
            raise InvalidArgumentError(f"mode must be 'rb' for bytes or 'r' for text, not {mode!r}")
        with self.open(mode) as file:
            return file.read(size)

    @as_file_errors
    def write(self, data: str | bytes) -> None:
        """Replace the content, whole or not at all; text is stored as UTF-8.

        Raises:
            EncodeError: neither text nor bytes (a TypeError).
            FileMissing: the artifact is gone (a FileNotFoundError).
        """
        self._put(data)

    @as_file_errors
    def remove(self) -> None:
        """Remove it; FileMissing (a FileNotFoundError) when it is gone."""
        self._artifact._check()
        self._artifact._scope.delete(self._name)

    def _put(self, data: Any, **options: Any) -> None:
        if not isinstance(data, str | bytes | bytearray | memoryview):
            raise EncodeError(f"content of a file is str or bytes, not {type(data).__name__}: use a hook for values")
        artifact = self._artifact
        if self._name == METADATA:
            artifact._check()
            artifact._scope.put(
                METADATA, _object(bytes(data) if not isinstance(data, str) else data), serializer=_JSON, **options
            )
            return
        kind = guess_type(self._name, "utf-8") if isinstance(data, str) else None

        def pieces() -> Iterator[bytes | memoryview]:
            artifact._check()  # when the put has begun: a delete from then on makes it fail
            yield data.encode() if isinstance(data, str) else memoryview(data).cast("B")

        artifact._scope.put_chunks(self._name, pieces(), content_type=kind, **options)

    def __repr__(self) -> str:
        return f"ArtifactFile<{self.path}>"


class Artifact:
    """A named set of files with metadata, in a namespace; get or make one by the functions of this package.

    ``name in artifact``, iteration over files, and truth (it has a file) work; as a mapping it is its metadata. After
    :meth:`delete` everything but ``exists`` and ``is_empty`` raises FileMissing (a FileNotFoundError).
    """

    def __init__(
        self,
        name: str,
        namespace: str = "",
        protocol: str = "file",
        base_path: str | os.PathLike[str] = "",
        params: Mapping[str, Any] | None = None,
    ) -> None:
        """Open one that exists; see :meth:`get_artifact`."""
        self._be(_scope_of(place := place_of(protocol, base_path, params), namespace, name), place)
        self._check()

    def _be(self, scope: Scope, place: Place) -> Artifact:
        self._outside = scope
        self._place = place
        self._transaction: _Transaction | None = None  # for other threads, too, that have this handle
        return self

    @classmethod
    def _of(cls, scope: Scope, place: Place) -> Artifact:
        return object.__new__(cls)._be(scope, place)

    def __reduce__(self) -> tuple[Any, ...]:
        return Artifact._of, (self._scope, self._place)

    @classmethod
    @as_file_errors
    def new_artifact(
        cls,
        name: str,
        namespace: str = "default",
        protocol: str = "file",
        base_path: str | os.PathLike[str] = "",
        **params: Any,
    ) -> Artifact:
        """Make one, empty. Without a base path it is in the current store.

        Raises:
            FileThere: there is one of that name (a FileExistsError).
            InvalidArgumentError: the name has other characters than letters, digits, ``_`` and ``-`` (a ValueError), or
                is empty (NotAssertedError, an AssertionError); nothing is made.
        """
        place = place_of(protocol, base_path, params)
        return cls._of(_scope_of(place, namespace, name).create(exist_ok=False), place)

    @classmethod
    def get_artifact(
        cls,
        name: str,
        namespace: str = "",
        protocol: str = "file",
        base_path: str | os.PathLike[str] = "",
        **params: Any,
    ) -> Artifact:
        """One that exists; FileMissing (a FileNotFoundError) when there is none."""
        return cls(name, namespace, protocol, base_path, params)

    @classmethod
    def list_artifacts(
        cls, namespace: str = "", protocol: str = "file", base_path: str | os.PathLike[str] = "", **params: Any
    ) -> list[Artifact]:
        """All of a namespace, by name."""
        place = place_of(protocol, base_path, params)
        return [cls._of(scope, place) for scope in _namespace(place, namespace).children("artifact")]

    @classmethod
    def does_exist(
        cls,
        name: str,
        namespace: str = "",
        protocol: str = "file",
        base_path: str | os.PathLike[str] = "",
        **params: Any,
    ) -> bool:
        """Whether there is one of that name."""
        return _scope_of(place_of(protocol, base_path, params), namespace, name).present

    # --- what it is ---------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name in the namespace."""
        return self._outside.name

    @property
    def namespace(self) -> str:
        """Name of the namespace."""
        return self._outside.path[-2][1]

    @property
    def path(self) -> str:
        """``<base path>/artifacts/<namespace>/<name>``, which names it; bytes lie elsewhere."""
        return f"{self._place.base_path}/artifacts/{self.namespace}/{self.name}"

    @property
    def uri(self) -> str:
        """The path, behind the protocol."""
        return f"{self._place.protocol}://{self.path}"

    @property
    def exists(self) -> bool:
        """Whether it was not deleted."""
        return self._outside.present

    @property
    def is_empty(self) -> bool:
        """Whether it has no file; metadata is none."""
        return not self.exists or Native(self._scope).is_empty

    @property
    def _joined(self) -> _Transaction | None:
        return self._transaction or _open.get().get(self._outside)

    @property
    def _scope(self) -> Scope:
        """The scope that it is, acting in the transaction where one is open."""
        joined = self._joined
        return self._outside if joined is None else joined.scope

    def _check(self) -> None:
        if not self.exists:
            raise FileMissing(f"no artifact {self.path}: it was deleted, or never made by new_artifact()")

    # --- files --------------------------------------------------------------------------------------------------------

    def list_files(self, include_meta: bool = False) -> list[ArtifactFile]:
        """The files, by name; with ``include_meta`` also that of the metadata."""
        self._check()
        names = [METADATA] * include_meta + list(Native(self._scope))
        return [ArtifactFile._there(name, self) for name in names]

    def get_file(self, filename: str, create: bool = False) -> ArtifactFile:
        """A file; with ``create`` an empty one when there is none, else FileMissing (a FileNotFoundError)."""
        return self.new_file(filename) if create else ArtifactFile(filename, self)

    def new_file(self, filename: str, content: str | bytes | None = None, exist_ok: bool = True) -> ArtifactFile:
        """Make a file, empty or with this content, which replaces that of a file that is there.

        Raises:
            FileThere: it exists, and ``exist_ok`` is False (a FileExistsError).
            EncodeError: the content is neither text nor bytes (a TypeError).
        """
        if content is not None and exist_ok:
            file = ArtifactFile._there(filename, self)
            file.write(content)
            return file
        try:
            return ArtifactFile.new(self, filename, content)
        except FileExistsError:
            if not exist_ok:
                raise
            return ArtifactFile._there(filename, self)

    def has_file(self, filename: str) -> bool:
        """Whether there is a file of that name."""
        self._check()
        return filename == METADATA or self._scope.exists(filename)

    def delete_file(self, filename: str) -> None:
        """Remove a file; FileMissing (a FileNotFoundError) when there is none."""
        ArtifactFile._there(filename, self).remove()

    @as_file_errors
    def delete(self) -> None:
        """Remove it with all its files and metadata, in one commit; not inside its transaction."""
        self._check()
        self._scope.drop()

    def clear(self) -> None:
        """Remove all files and the metadata, in one commit."""
        with self.transaction():
            for key in list(self._scope):
                self._scope.delete(key)

    @contextmanager
    def transaction(self) -> Iterator[Artifact]:
        """A block whose changes to files and metadata, through this and other handles on the artifact, happen together
        at its end or, if it raises, not at all. A block in another one belongs to that one.

        Raises:
            ConflictError: at the end, and somebody else changed what the block has read; nothing is changed.
        """
        self._check()
        joined = self._joined
        if joined is not None:
            try:
                yield self
            except BaseException:
                joined.failed = True
                raise
            return
        staged: list[Scope] = []
        try:
            with self._outside.transaction() as inside:
                self._transaction = begun = _Transaction(inside, staged)
                token = _open.set({**_open.get(), self._outside: begun})
                try:
                    yield self
                finally:
                    self._transaction = None
                    _open.reset(token)
                if begun.failed:
                    raise ConflictError("a block inside this one failed, and belongs to it: nothing of either happened")
        finally:
            for scope in staged:
                scope.drop(missing_ok=True)

    def __contains__(self, filename: str) -> bool:
        return self.has_file(filename)

    def __iter__(self) -> Iterator[ArtifactFile]:
        return iter(self.list_files())

    def __bool__(self) -> bool:
        return not self.is_empty

    # --- metadata -----------------------------------------------------------------------------------------------------

    @property
    def metadata(self) -> dict[str, Any]:
        """A copy of all metadata."""
        self._check()
        return dict(Native(self._scope).metadata)

    def get_meta(self, key: str, default: Any = None) -> Any:
        """A value of the metadata."""
        return self.metadata.get(key, default)

    def set_meta(self, key: str, value: Any) -> None:
        """Set a value; EncodeError (a TypeError) when JSON cannot hold it."""
        self._check()
        Native(self._scope).metadata[key] = value

    def del_meta(self, key: str) -> None:
        """Remove a value; NotFoundError (a KeyError) when there is none."""
        self._check()
        del Native(self._scope).metadata[key]

    __getitem__ = get_meta
    __setitem__ = set_meta
    __delitem__ = del_meta

    def _metadata_text(self) -> bytes:
        self._check()
        return self._scope.get_bytes(METADATA) if self._scope.exists(METADATA) else b"{}"

    def __repr__(self) -> str:
        return f"Artifact<{self.uri}>"


def _namespace(place: Place, namespace: str) -> Scope:
    return place.root.namespace(namespace or "default")


def is_legal(name: Any) -> bool:
    """Whether an artifact can have that name."""
    return isinstance(name, str) and re.fullmatch("[A-Za-z0-9_-]+", name) is not None


def _scope_of(place: Place, namespace: str, name: Any) -> Scope:
    if name == "":
        raise NotAssertedError("the name of an artifact is empty")
    if not is_legal(name):
        raise InvalidArgumentError(f"the name of an artifact has letters, digits, _ and - only, not {name!r}")
    return _namespace(place, namespace).scope("artifact", name)


def _object(data: str | bytes | bytearray | memoryview) -> dict[str, Any]:
    value = load(data.encode() if isinstance(data, str) else data, f"{METADATA} is a JSON object, and this is none")
    if not isinstance(value, dict):
        raise InvalidArgumentError(f"{METADATA} is a JSON object, not {type(value).__name__}")
    return value
