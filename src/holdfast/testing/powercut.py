"""What a power cut can leave of a folder: recorded calls, played back up to any moment.

::

    recorder = Recorder(parent)
    with interposed(parent, recorder):
        ...                                   # the workload, in a folder below
    disk = Disk(recorder)
    disk.advance(cut)                         # all calls before number ``cut`` were made, then the power failed
    disk.restore(target, "nothing", Random(1))

What was synced is there. Of what was not, each write (in pieces of 512 bytes) and each change of a size may be on
the disk or not, in any order, and the names of each folder up to any moment: one folder's names change in the order in
which they were changed, those of two folders in any. A file's bytes are there after its own sync, its name after its
folder's sync. This is more than most file systems do to a program; what holds here holds there.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

from .interpose import Call, Perform

__all__ = ["STYLES", "Disk", "Recorder"]

STYLES = ("nothing", "sizes", "all", "names", "some")
"""What reached the disk of what was not synced: nothing; names and sizes but no bytes (files are of full size and
zero); everything; names and sizes with some of the bytes; some of everything."""

_SECTOR = 512
_CREATES_SYNCED = ("-wal", "-journal")  # SQLite's first sync of these also syncs their folder


class Recorder:
    """A hook that makes each call and keeps it; the order in which calls were made is that of :attr:`calls`.

    Attributes:
        root: the folder; itself on disk, as is all that is in it at the beginning.
        calls: so far.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.path.abspath(root)
        self.calls: list[Call] = []
        self.start = dict(_tree(self.root))
        self._lock = threading.RLock()
        self._fresh: set[str] = set()

    def __call__(self, call: Call, perform: Perform) -> Any:
        """Make the call; one that fails is not kept."""
        with self._lock:
            result = perform()
            if call.verb == "write" and call.layer == "os" and isinstance(result, int):
                call = call._replace(size=result, data=(call.data or b"")[:result])
            self.calls.append(call)
            if call.layer == "sqlite":
                self._sync_folder(call)
            return result

    def _sync_folder(self, call: Call) -> None:
        if call.verb == "create" and call.path.endswith(_CREATES_SYNCED):
            self._fresh.add(call.path)
        elif call.verb == "sync" and call.path in self._fresh:
            self._fresh.discard(call.path)
            self.calls.append(Call("sqlite", "sync", os.path.dirname(call.path)))

    def __len__(self) -> int:
        with self._lock:
            return len(self.calls)


def _tree(root: str) -> Iterator[tuple[str, bytes | None]]:
    """Paths below a folder with their bytes, None for folders, each folder before what is in it."""
    for folder, below, names in os.walk(root):
        relative = os.path.relpath(folder, root)
        for name in below:
            yield os.path.normpath(os.path.join(relative, name)), None
        for name in names:
            if not name.endswith("-shm"):  # the log's index: a map of memory, made anew when nobody has it open
                with open(os.path.join(folder, name), "rb") as file:
                    yield os.path.normpath(os.path.join(relative, name)), file.read()


class _Change(NamedTuple):
    """Of a file: bytes at an offset, or (None) a size that it grows to or is cut to."""

    offset: int
    data: bytes | None
    cut: bool = False


class _Node:
    """A file, or a folder."""

    def __init__(self, content: bytes | None) -> None:
        self.folder = content is None
        self.synced = bytearray(content or b"")
        self.changes: list[_Change] = []
        self.names: dict[str, _Node] = {}  # as a running system sees them
        self.synced_names: dict[str, _Node] = {}

    def sync(self) -> None:
        for change in self.changes:
            _apply(self.synced, change)
        self.changes.clear()

    def content(self) -> bytes:
        """As a running system sees it."""
        content = bytearray(self.synced)
        for change in self.changes:
            _apply(content, change)
        return bytes(content)


def _apply(content: bytearray, change: _Change) -> None:
    if change.data is None:
        if change.cut:
            del content[change.offset :]
        content.extend(bytes(max(0, change.offset - len(content))))
        return
    end = change.offset + len(change.data)
    content.extend(bytes(max(0, end - len(content))))
    content[change.offset : end] = change.data


class _Naming(NamedTuple):
    """Names that change together: folder, name, what it names from now on (None: nothing)."""

    names: tuple[tuple[_Node, str, _Node | None], ...]


class Disk:
    """The folder of a recorder at a moment that only moves forward.

    Attributes:
        position: number of calls made.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._calls = recorder.calls
        self._root = _Node(None)
        self._namings: list[_Naming] = []
        self.position = 0
        for path, content in recorder.start.items():
            folder, name = self._split(path)
            folder.names[name] = folder.synced_names[name] = _Node(content)

    def _split(self, path: str) -> tuple[_Node, str]:
        *above, name = path.split("/")
        node = self._root
        for part in above:
            node = node.names[part]
        return node, name

    def _node(self, path: str) -> _Node:
        if not path:
            return self._root
        folder, name = self._split(path)
        return folder.names[name]

    def advance(self, position: int) -> None:
        """Let all calls before number ``position`` happen."""
        while self.position < position:
            self._make(self._calls[self.position])
            self.position += 1

    def _make(self, call: Call) -> None:
        if call.verb in ("create", "mkdir"):
            self._name((call.path, _Node(b"" if call.verb == "create" else None)))
        elif call.verb in ("unlink", "rmdir"):
            self._name((call.path, None))
        elif call.verb == "rename":
            node = self._node(call.path)
            self._name((call.path, None), (call.target, node))
        elif call.verb == "sync":
            self._sync(self._node(call.path))
        elif call.verb == "write":
            self._node(call.path).changes.append(_Change(call.offset, call.data))
        elif call.verb == "allocate":
            self._node(call.path).changes.append(_Change(call.offset + call.size, None))
        else:
            assert call.verb == "truncate", call.verb
            self._node(call.path).changes.append(_Change(call.size, None, cut=True))

    def _name(self, *names: tuple[str, _Node | None]) -> None:
        made = tuple((*self._split(path), node) for path, node in names)
        _rename(made, synced=False)
        self._namings.append(_Naming(made))

    def _sync(self, node: _Node) -> None:
        if not node.folder:
            node.sync()
            return
        waiting = []
        for naming in self._namings:
            if any(folder is node for folder, _, _ in naming.names):
                _rename(naming.names, synced=True)
            else:
                waiting.append(naming)
        self._namings = waiting

    def content(self, path: str) -> bytes | None:
        """A file as a running system sees it at this moment, None when there is none."""
        try:
            return self._node(path).content()
        except KeyError:
            return None

    def restore(self, target: str | os.PathLike[str], style: str, random: Random) -> None:
        """Write into the new folder ``target`` what a power cut at this moment left, in one of :data:`STYLES`."""
        if style not in STYLES:
            raise ValueError(f"there is no style {style!r}")
        kept = self._choose_names(style, random)
        os.makedirs(target)
        self._write(self._root, os.fspath(target), kept, style, random)

    def _choose_names(self, style: str, random: Random) -> dict[_Node, dict[str, _Node]]:
        """For each folder with changes, the names that are on disk."""
        chosen: dict[_Node, dict[str, _Node]] = {}
        ends: dict[_Node, float] = {}  # when a folder's names last reached the disk, as a part of all changes
        for number, naming in enumerate(self._namings):
            place = naming.names[0][0]
            end = ends.setdefault(place, random.random() * (len(self._namings) + 1))
            if style == "nothing" or (style == "some" and number >= end):
                continue
            for folder, name, node in naming.names:
                names = chosen.setdefault(folder, dict(folder.synced_names))
                if node is None:
                    names.pop(name, None)
                else:
                    names[name] = node
        return chosen

    def _write(
        self, folder: _Node, path: str, chosen: dict[_Node, dict[str, _Node]], style: str, random: Random
    ) -> None:
        for name, node in chosen.get(folder, folder.synced_names).items():
            place = f"{path}/{name}"
            if node.folder:
                os.makedirs(place, mode=0o700, exist_ok=True)
                self._write(node, place, chosen, style, random)
            else:
                with open(place, "wb") as file:
                    content = _left(node, style, random)
                    if any(content):
                        file.write(content)
                    else:
                        file.truncate(len(content))


def _rename(names: tuple[tuple[_Node, str, _Node | None], ...], *, synced: bool) -> None:
    for folder, name, node in names:
        known = folder.synced_names if synced else folder.names
        if node is None:
            known.pop(name, None)
        else:
            known[name] = node


def _left(node: _Node, style: str, random: Random) -> bytearray:
    """The bytes of a file after the cut."""
    content = bytearray(node.synced)
    if style == "nothing" or not node.changes:
        return content
    likely = random.choice((0.1, 0.5, 0.9))
    for change in node.changes:
        if style == "all":
            _apply(content, change)
        elif change.data is None:
            if style != "some" or random.random() < likely:
                _apply(content, change)
        else:
            if style in ("sizes", "names"):
                _apply(content, _Change(change.offset + len(change.data), None))
            if style != "sizes":
                for piece in _pieces(change.offset, change.data):
                    if random.random() < likely:
                        _apply(content, piece)
    return content


def _pieces(offset: int, data: bytes) -> Iterator[_Change]:
    """A write by the sectors that it touches."""
    start = 0
    while start < len(data):
        end = min(len(data), start + _SECTOR - (offset + start) % _SECTOR)
        yield _Change(offset + start, data[start:end])
        start = end
