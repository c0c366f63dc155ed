"""Instances whose states call functions, without an engine: a store, a place in it, and actions."""

from __future__ import annotations

import io
import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.flows.failures import Failure
from holdfast.flows.functions import Functions
from holdfast.flows.functions.action import Action, File
from holdfast.flows.place import Place


class World:
    """A store with one namespace and an instance in it.

    Attributes:
        place: the instance.
        lines: its log.
        cancelled: to be set to cancel it.
        folder: where temporary directories are made.
    """

    def __init__(self, path: Path, store: holdfast.Store) -> None:
        self.path, self.folder = path, path / "functions"
        namespace = store.namespace(f"prod-{uuid.uuid4()}").create()
        self.place = Place(namespace, "/a/b.yaml", str(uuid.uuid4()))
        self.lines: list[str] = []
        self.cancelled = threading.Event()
        self._made: list[Functions] = []

    def functions(self, settings: Mapping[str, Any], **actions: Any) -> Functions:
        """Functions, with a door of their own; closed at the end."""
        made = Functions.from_settings(
            settings, {"door": "127.0.0.1:0", "folder": str(self.folder), **actions}, folder=str(self.path)
        )
        self._made.append(made)
        return made

    def action(self, function: str = "f", *files: File, input: Any = None, timeout: float | None = 20) -> Action:
        return Action(function, input, files, 0, timeout, self.place, self.lines.append, self.cancelled)

    def shell(self, script: str, *files: File, input: Any = None, timeout: float | None = 20, **actions: Any) -> Any:
        """Call a function that is a line for a shell."""
        functions = self.functions({"f": {"command": script, "shell": True}}, **actions)
        return functions.call(self.action("f", *files, input=input, timeout=timeout))

    def put(self, scope: str, key: str, data: bytes, content_type: str | None = None) -> None:
        target = self.place.tree if scope == "file" else self.place.scope(scope)
        target.put_chunks(key, [data], content_type=content_type)

    def get(self, scope: str, key: str) -> bytes | None:
        target = self.place.scope(scope)
        return target.get_bytes(key) if target.exists(key) else None

    def stored(self) -> dict[str, list[str]]:
        """Names of all variables."""
        return {name: list(self.place.scope(name).keys()) for name in ("namespace", "workflow", "instance")}

    def left(self) -> list[Path]:
        """What lies in the folders of actions, now that those that are done had time to go."""
        deadline = time.monotonic() + 10
        while any(self.folder.glob("*/gone-*")) and time.monotonic() < deadline:
            time.sleep(0.005)
        kept = {"lock", "out", "instance", "workflow", "namespace"}  # there are some that nobody had yet
        below = [path for path in self.folder.glob("*/*/**/*") if path.name not in kept]
        return [*below, *self.folder.glob("*/gone-*"), *self.folder.glob("*/*.error")]

    def close(self) -> None:
        for made in self._made:
            made.close()


def file(
    key: str, target: str | None = None, type: str = "plain", scope: str = "instance", permissions: str | None = None
) -> File:
    return File(key, scope, key if target is None else target, type, permissions)


@contextmanager
def failing(code: str, *words: str) -> Iterator[None]:
    """A block that fails with this code, and says these words."""
    with pytest.raises(Failure) as caught:
        yield
    assert caught.value.code == code, caught.value
    for word in words:
        assert word in caught.value.message, caught.value


def tar(*entries: tarfile.TarInfo | tuple[str, bytes], mode: str = "w") -> bytes:
    """An archive: of files, and of whatever else."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as archive:  # type: ignore[call-overload]
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                archive.addfile(info, io.BytesIO(entry[1]))
    return target.getvalue()


def special(name: str, kind: bytes, **fields: Any) -> tarfile.TarInfo:
    """An entry that is no regular file."""
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def alive(pid: int) -> bool:
    """Whether a process runs: neither gone nor dead and not yet waited for."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def until(what: Callable[[], Any], seconds: float = 10) -> Any:
    """Wait until something is true, and give it."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)
    return found
