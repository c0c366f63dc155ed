"""A session: begun by the first process of a store that attaches, ended when the last that is attached has ended.

Each attached process holds a shared lock on one file, which the system lets go of however the process ends. Who gets
it exclusively knows that nobody is left. All such questions are asked, and answered, behind one gate, so that no
answer changes before it is used.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from ...errors import StoreError
from .locks import FileLock, locked
from .place import is_private, machine_and_boot, make_private, place_name

__all__ = ["SESSION", "Attachment", "Home", "sweep"]

SESSION = r"[0-9a-f]{16}\.[0-9a-f]{16}\.[0-9a-f]{16}\.[0-9a-f]{16}"
"""A session's name: machine, start of the machine, place, and 64 random bits."""

_OWN = re.compile(r"[0-9a-f]{16}")
_NAMES = ("gate", "living", "session")


class Attachment:
    """That this process, and the children that it forks from now on, are part of a session.

    Attributes:
        session: its name.
        folder: where its bytes are.
    """

    def __init__(self, home: Home, own: str, living: FileLock) -> None:
        self.session = f"{home.prefix}.{own}"
        self.folder = f"{home.folder}/{own}"
        self._home = home
        self._living = living

    def end(self) -> None:
        """Leave it; the last one removes its files. Does nothing the second time. OSError as it comes."""
        if self._living.fd >= 0:
            self._home._leave(self._living)


class Home:
    """The folder of one store at one place; nothing is made before somebody attaches.

    Attributes:
        folder: its path.
        prefix: what the names of all its sessions begin with, until the machine is started anew.
    """

    def __init__(self, base: str, store: str) -> None:
        self._user = f"{base}/holdfast-{os.geteuid()}"
        self.folder = f"{self._user}/{store}"
        self.machine, self.boot = machine_and_boot()
        self.place = place_name(base)
        self.prefix = f"{self.machine}.{self.boot}.{self.place}"

    @contextmanager
    def _gate(self) -> Iterator[None]:
        """Alone with the folder, which is made."""
        for _ in range(1000):
            with ExitStack() as stack:
                try:
                    make_private(self._user)
                    make_private(self.folder)
                    stack.enter_context(locked(f"{self.folder}/gate", make=True))
                except FileNotFoundError:
                    continue  # the last one of a session removed it just now
                yield
                return
        raise StoreError(f"{self.folder} could not be made: something removes it at once; set memory_folder=")

    def attach(self) -> Attachment:
        """Join the session, or begin one when nobody is left of the last. OSError as it comes.

        Raises:
            StoreError: the folder is not this user's alone.
        """
        left: list[str] = []
        with self._gate():
            living = FileLock(f"{self.folder}/living", os.O_RDWR | os.O_CREAT, shared=True)
            alone = living.exclusive()
            own = None if alone else self._current()
            if own is None:
                if alone:
                    left = _subfolders(self.folder)
                own = self._begin()
            living.share(wait=True)
        for path in left:
            _remove_tree(path)
        return Attachment(self, own, living)

    def join(self, own: str) -> Attachment | None:
        """Become part of that session; None when it has ended. OSError as it comes."""
        if not self._is_ours():
            return None
        try:
            with locked(f"{self.folder}/gate"):
                if self._current() != own or not self._somebody():
                    return None
                living = FileLock(f"{self.folder}/living", shared=True)
                living.share(wait=True)
                return Attachment(self, own, living)
        except FileNotFoundError:
            return None

    def lasts(self, own: str) -> bool:
        """Whether somebody is attached to that session. OSError as it comes."""
        return self.lasting() == own

    def lasting(self) -> str | None:
        """The session that somebody is attached to, if any; the random part of its name. OSError as it comes."""
        if not self._is_ours():
            return None
        try:
            with locked(f"{self.folder}/gate"):
                return self._current() if self._somebody() else None
        except FileNotFoundError:
            return None

    def _is_ours(self) -> bool:
        """Whether the folder is there, and nobody else can have made what is in it."""
        return is_private(self._user) and is_private(self.folder)

    def _somebody(self) -> bool:
        living = FileLock(f"{self.folder}/living")
        try:
            return not living.exclusive()
        finally:
            living.release()

    def _current(self) -> str | None:
        try:
            with open(f"{self.folder}/session", encoding="ascii", errors="replace") as file:
                own = file.read(100)
        except FileNotFoundError:
            return None
        return own if _OWN.fullmatch(own) and os.path.isdir(f"{self.folder}/{own}") else None

    def _begin(self) -> str:
        own = secrets.token_hex(8)
        for part in ("", "/free", "/gone"):
            os.mkdir(f"{self.folder}/{own}{part}", 0o700)
        with open(f"{self.folder}/session", "w", encoding="ascii") as file:
            file.write(own)
        return own

    def _leave(self, living: FileLock) -> None:
        try:
            with locked(f"{self.folder}/gate"):
                living.close()
                _clear(self.folder)
        except FileNotFoundError:
            pass  # somebody removed the folder
        finally:
            living.close()


def sweep(base: str) -> int:
    """Remove what killed processes left of sessions of this user that have ended, of all stores; gives of how many
    stores. OSError as it comes."""
    count, user = 0, f"{base}/holdfast-{os.geteuid()}"
    if not is_private(user):
        return 0  # another user's, who could have anything else removed in its place
    for folder in _subfolders(user):
        with suppress(FileNotFoundError), locked(f"{folder}/gate"):
            count += _clear(folder)
    return count


def _clear(folder: str) -> bool:
    """Remove all of a store's folder, and it, unless somebody lives there; behind its gate."""
    with suppress(FileNotFoundError):
        living = FileLock(f"{folder}/living")
        try:
            if not living.exclusive():
                return False
        finally:
            living.release()
    for path in _subfolders(folder):
        _remove_tree(path)
    for name in reversed(_NAMES):  # the gate last: then the next is made anew
        with suppress(FileNotFoundError):
            os.unlink(f"{folder}/{name}")
    for path in (folder, os.path.dirname(folder)):
        with suppress(OSError):  # somebody else came, or has a folder there
            os.rmdir(path)
    return True


def _subfolders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _remove_tree(folder: str) -> None:
    """Remove a folder with all in it; who has bytes of it mapped keeps them."""
    try:
        with os.scandir(folder) as entries:
            for entry in list(entries):
                if entry.is_dir(follow_symlinks=False):
                    _remove_tree(entry.path)
                else:
                    with suppress(FileNotFoundError):
                        os.unlink(entry.path)
        os.rmdir(folder)
    except FileNotFoundError:
        pass  # another one is at it too
