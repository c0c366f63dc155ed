"""VIKTOR's storage: each of its scopes is a scope of the store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from ...address import check_key, format_address
from ...api import Scope
from ...context import current_context
from ...errors import InvalidArgumentError, InvalidKeyError, NotFoundError, ValueLost
from ...verbs import current_store
from .errors import EntityNotFoundError, MissingFileError
from .file import File

__all__ = ["Storage"]

_SCOPES = ("entity", "workspace", "session")
_MAX_KEY = 256


class Storage:
    """Files by key, of one entity, of all of a workspace, or of an editor session.

    The store, and in it workspace, entity and session, are the run context's. ``entity=`` is another entity of that
    workspace, of any type, by its ``Entity`` or its name, such as ``"Span.A1"``. Every method raises
    InvalidArgumentError for a key, a scope or an entity that is none, and EntityNotFoundError for one that was dropped.
    """

    def set(self, key: str, data: File, *, scope: str, entity: str | None = None) -> None:
        """Store a file under a key of 1 to 256 characters, whole or not at all, in place of what is there."""
        section = _section(scope, entity)
        if not isinstance(data, File):
            raise InvalidArgumentError(f"data must be a File, as in File.from_data('abc'), not {type(data).__name__}")

        def pieces() -> Iterator[bytes]:  # first asked for when the put has begun: a drop from then on makes it fail
            if _dropped(section):
                raise _missing(section, key)
            yield from data._pieces()

        section.put_chunks(_key(key), pieces())

    def get(self, key: str, *, scope: str, entity: str | None = None) -> File:
        """The file of a key, to be read when it is opened; MissingFileError (a FileNotFoundError) when there is none.

        What is read is what the key holds at that time.
        """
        section = _section(scope, entity)
        with _translated(section, key):
            section.record(_key(key))
        return _StoredFile(section, key)

    def delete(self, key: str, *, scope: str, entity: str | None = None) -> None:
        """Remove the file of a key; MissingFileError (a FileNotFoundError) when there is none."""
        section = _section(scope, entity)
        with _translated(section, key):
            section.delete(_key(key))

    def list(self, *, scope: str, prefix: str | None = None, entity: str | None = None) -> dict[str, File]:
        """All files, or those whose keys begin with ``prefix``, by key and in order; no content is read."""
        section = _section(scope, entity)
        files: dict[str, File] = {key: _StoredFile(section, key) for key in section.keys(prefix or "")}
        if not files and _dropped(section):
            raise _missing(section, "")
        return files


class _StoredFile(File):
    _type = File.SourceType.URL

    def __init__(self, section: Scope, key: str) -> None:
        self._section, self._key = section, key

    @property
    def source(self) -> str:
        return f"holdfast://{format_address(self._section.path, self._key)}"

    def _open(self) -> BinaryIO:
        with _translated(self._section, self._key):
            return self._section.open(self._key, "rb")

    def _pieces(self) -> Iterator[bytes]:
        with _translated(self._section, self._key):
            yield from self._section.get_chunks(self._key)  # checked against its digest

    def _changed(self) -> int:
        try:
            return self._section.record(self._key).version
        except NotFoundError:
            return 0


def _section(scope: str, entity: object) -> Scope:
    """The scope of the store that a call means."""
    if scope not in _SCOPES:
        raise InvalidArgumentError(f"scope must be one of {', '.join(map(repr, _SCOPES))}, not {scope!r}")
    if entity is not None and scope != "entity":
        raise InvalidArgumentError(f"entity= goes with scope='entity', not with scope={scope!r}")
    if entity is not None and not isinstance(entity, str):
        raise InvalidArgumentError(f"entity must be an Entity or a name such as 'Span.A1', not {entity!r}")
    workspace = current_store().workspace(_current("workspace") or "default")
    if scope == "workspace":
        return workspace
    name = _current(scope) if entity is None else entity
    if name is None:
        others = " or ".join(f"scope={other!r}" for other in _SCOPES if other != scope)
        passing = "pass entity=Entity(id=..., entity_type=...), " if scope == "entity" else ""
        raise InvalidArgumentError(
            f"scope={scope!r}, but no {scope} is current: enter store.context(workspace=..., {scope}=...), "
            f"{passing}set HOLDFAST_VIKTOR_{scope.upper()}, or use {others}"
        )
    return workspace.scope(scope, str(name))


def _current(kind: str) -> str | None:
    context = current_context()
    name = None if context is None else context.names.get(kind)
    return name or os.environ.get(f"HOLDFAST_VIKTOR_{kind.upper()}") or None


def _key(key: str) -> str:
    if len(check_key(key)) > _MAX_KEY:
        raise InvalidKeyError(f"a key of this storage has 1 to {_MAX_KEY} characters, not {len(key)}")
    return key


def _dropped(section: Scope) -> bool:
    return section.kind == "entity" and section.was_dropped


def _missing(section: Scope, key: str) -> NotFoundError:
    if _dropped(section):
        return EntityNotFoundError(f"the entity {section} was dropped")
    return MissingFileError(f"no file {format_address(section.path, key)}")


@contextmanager
def _translated(section: Scope, key: str) -> Iterator[None]:
    try:
        yield
    except ValueLost:
        raise
    except NotFoundError:
        raise _missing(section, key) from None
