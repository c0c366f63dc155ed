"""This process' connection to a Ray cluster, and what is asked through it.

A cluster is joined where one is configured or runs; none is ever started. Nothing waits for ever: what Ray itself would
wait for without end is tried first, or has a time-out.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from ...errors import MissingExtraError, StorageFullError, StoreError
from .session import answers

__all__ = ["WAIT", "Gone", "ask", "connect", "connected", "fetch", "inherited", "put", "tell"]

WAIT = 30.0
"""Seconds in which a cluster answers, or is taken to be out of order."""

_START = (
    "start one by `ray start --head` or ray.init(), name another's address in RAY_ADDRESS, or run the work by a Ray "
    "executor of holdfast.executors"
)

_lock = threading.Lock()
_forked = False


class Gone(Exception):
    """The actor that was asked has ended, and what it held with it."""


def inherited() -> bool:
    """Whether this process was forked from one that was connected: it can use neither that connection nor another."""
    return _forked


def connected() -> Any | None:
    """The module ``ray``, if this process is in a cluster; joins none."""
    ray = sys.modules.get("ray")
    return ray if ray is not None and not _forked and ray.is_initialized() else None


def connect() -> Any:
    """The module ``ray``, of a process in a cluster, which is joined if need be.

    Raises:
        MissingExtraError: Ray is not installed.
        StoreError: no cluster is there to be joined, or this process was forked from one that is in it.
    """
    if _forked:
        raise StoreError(
            "this process was forked from one that is connected to Ray, and its connection does not go on here: run "
            "the work as Ray tasks, or in processes begun by spawn"
        )
    found = connected()
    if found is not None:
        return found
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError('memory on Ray needs ray: pip install "holdfast[ray]"') from error
    with _lock:
        if not ray.is_initialized():
            _join(ray)
    return ray


def _join(ray: Any) -> None:
    named = os.environ.get("RAY_ADDRESS", "")
    named = "" if named in ("auto", "local") else named
    address = named or _latest()
    if not answers(address):  # Ray itself would try it for minutes
        raise StoreError(f"no Ray cluster answers at {address}: {_START}")
    try:
        # One that Ray finds by itself it also takes the token of by itself.
        ray.init(address=named or "auto", log_to_driver=False, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise StoreError(f"the Ray cluster at {address} cannot be joined ({_first_line(error)}): {_START}") from error


def _latest() -> str:
    """The address of the cluster that was started last on this machine, where Ray notes it."""
    note = os.path.join(os.environ.get("RAY_TMPDIR") or "/tmp", "ray", "ray_current_cluster")
    try:
        with open(note, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        raise StoreError(f"this process is in no Ray cluster, and none is known here: {_START}") from None


def ask(ray: Any, actor: Any, method: str, *arguments: Any, wait: float | None = None) -> Any:
    """What a method of an actor gives.

    Raises:
        Gone: the actor has ended.
        StorageFullError: it has no room.
        StoreError: it does not answer, or failed.
    """
    return tell(ray, lambda: ray.get(getattr(actor, method).remote(*arguments), timeout=wait or WAIT))


def fetch(ray: Any, ref: Any) -> Any:
    """The value of a reference.

    Raises:
        Gone: it is lost.
        StoreError: it does not come.
    """
    return tell(ray, lambda: ray.get(ref, timeout=WAIT))


def put(ray: Any, value: Any) -> Any:
    """The reference of a value in the object store.

    Raises:
        StorageFullError: there is no room.
        StoreError: it failed.
    """
    return tell(ray, lambda: ray.put(value))


def tell(ray: Any, work: Callable[[], Any]) -> Any:
    """What a call of Ray gives, its errors told as ours."""
    errors = ray.exceptions
    try:
        return work()
    except errors.GetTimeoutError as error:
        raise StoreError(
            f"the Ray cluster does not answer ({_first_line(error)}): see whether its nodes and the keeper of "
            "Holdfast's memory are up"
        ) from error
    except (errors.ObjectStoreFullError, errors.OutOfDiskError) as error:
        raise StorageFullError(f"Ray's object store has no room: {_first_line(error)}") from error
    except errors.ActorUnavailableError as error:
        raise StoreError(
            f"the keeper of Holdfast's memory cannot be reached at the moment: {_first_line(error)}"
        ) from error
    except (errors.RayActorError, errors.ObjectLostError) as error:
        raise Gone(_first_line(error)) from error
    except errors.RayError as error:
        raise StoreError(f"the Ray cluster failed: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _after_fork_in_child() -> None:
    global _forked, _lock
    _lock = threading.Lock()
    ray = sys.modules.get("ray")
    _forked = _forked or (ray is not None and bool(getattr(ray, "is_initialized", bool)()))


os.register_at_fork(after_in_child=_after_fork_in_child)
