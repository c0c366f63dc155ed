"""Where functions run: in threads, in processes, on Ray or on Dask, with one small protocol.

::

    import holdfast
    from holdfast import executors

    with holdfast.open("data").context(namespace="prod"), executors.open("processes", workers=4) as executor:
        futures = [executor.submit(simulate, speed) for speed in (3, 4, 5)]
        results = executor.gather(futures)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..errors import InvalidArgumentError
from .base import Executor, Resources
from .futures import Future

__all__ = ["LOCAL", "NAMES", "Executor", "Future", "Resources", "open", "using"]

LOCAL = "local"
"""What runs tasks when nothing else is named: processes of this machine."""

NAMES = (LOCAL, "processes", "threads", "ray", "dask")
"""The executors that there are by name; ``local`` is another name of ``processes``."""


def open(
    executor: str | None = None,
    *,
    address: str | None = None,
    workers: int | None = None,
    resources: Mapping[str, float] | None = None,
    **options: Any,
) -> Executor:
    """Open an executor, to be used in a ``with`` block or closed.

    Args:
        executor: one of :data:`NAMES`; ``local`` by default.
        address: of a cluster that is there already, for ``ray`` and ``dask``: it is used, and not ended. Without one,
            ``RAY_ADDRESS`` or Dask's own configuration may name it; else one is started on this machine, and ended
            with the executor.
        workers: tasks of one CPU each that run at a time, of what is started; as many as there are CPUs by default.
        resources: what else tasks may ask for, by name, such as ``{"gpus": 1}``, of what is started: in all, with Dask
            at each worker.
        options: for ``ray.init``, or for Dask's ``Client`` or its cluster on this machine.

    Raises:
        InvalidArgumentError: there is no such executor, or it has no such option.
        MissingExtraError: the engine is not installed.
        StoreError: the cluster cannot be started, or does not answer at that address.
    """
    name: Any = LOCAL if executor is None else executor
    if isinstance(name, Executor):
        raise InvalidArgumentError(f"{name!r} is open already: holdfast.executors.using(executor) lends it")
    if name not in NAMES:
        raise InvalidArgumentError(f"there is no executor {name!r}: name one of {', '.join(NAMES)}")
    if name == "ray":
        from .ray import RayExecutor

        return RayExecutor(address, workers=workers, resources=resources, **options)
    if name == "dask":
        from .dask import DaskExecutor

        return DaskExecutor(address, workers=workers, resources=resources, **options)
    given = [*(["address"] if address is not None else []), *options]
    if given:
        raise InvalidArgumentError(f"the executor {name!r} has no option {given[0]!r}: it has workers and resources")
    if name == "threads":
        from .threads import ThreadExecutor

        return ThreadExecutor(workers=workers, resources=resources)
    from .processes import ProcessExecutor

    return ProcessExecutor(workers=workers, resources=resources)


@contextmanager
def using(executor: Executor | str | None = None, **options: Any) -> Iterator[Executor]:
    """A block with an executor, whose memory is in force in it: one that is open already, which stays open, or one
    that is opened for the block, as :func:`open` does.

    Raises:
        InvalidArgumentError: as of :func:`open`; or options of one that is open already.
    """
    if not isinstance(executor, Executor):
        with open(executor, **options) as opened:
            yield opened
        return
    if options:
        raise InvalidArgumentError(f"{executor!r} is open already: it takes no {min(options)}")
    with executor._surrounding():
        yield executor
