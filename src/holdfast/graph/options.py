"""What a task and its nodes are told beside what they call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..address import check_key
from ..errors import HoldfastError, InvalidArgumentError

if TYPE_CHECKING:
    from ..memoize.identity import Identity

__all__ = ["COUNTS", "Counting", "Options", "checked", "counted"]

COUNTS = ("ignore", "key", "version")
"""The options of a task that say what counts of its calls."""


class Options(NamedTuple):
    """How a node is run, beside what it calls.

    Attributes:
        name: what it is called: the key of its result where results are found by name. None for one that is given
            when it is run: the function's name and a number.
        resources: what it takes while it runs, as :meth:`Executor.submit
            <holdfast.executors.base.Executor.submit>` has it.
        retries: how often it is tried again when it fails.
        timeout: seconds that one try may take; None for any time.
        keep: whether its result is stored.
    """

    name: str | None = None
    resources: Mapping[str, float] | None = None
    retries: int = 0
    timeout: float | None = None
    keep: bool = True


class Counting:
    """What counts of a task's calls, where results are found by their inputs; memoize's rules."""

    def __init__(
        self, ignore: Iterable[str], key: Mapping[str, Callable[[Any], Any]], version: str | int | None
    ) -> None:
        self.ignore = (ignore,) if isinstance(ignore, str) else tuple(ignore)
        self.key = dict(key or {})
        self.version = None if version is None else str(version)
        self._made: dict[Any, Identity] = {}

    def identity(self, function: Any, *, some: bool = False) -> Identity:
        """How calls of a function are told apart; with ``some`` of the named parameters only those count which it has,
        as a method has not all of its class."""
        from ..memoize.identity import Identity

        found = self._made.get(function)
        if found is None:
            ignore, key = self.ignore, self.key
            if some and (ignore or key):
                from inspect import signature

                names = signature(function).parameters
                ignore = tuple(name for name in ignore if name in names)
                key = {name: convert for name, convert in key.items() if name in names}
            found = self._made[function] = Identity(function, ignore, key, self.version)
        return found

    def __reduce__(self) -> Any:
        return Counting, (self.ignore, self.key, self.version)


def counted(given: Mapping[str, Any]) -> Counting:
    """What counts, as it is said by these of :data:`COUNTS`.

    Raises:
        InvalidArgumentError: one of them is not legal.
    """
    key, version, ignore = given.get("key"), given.get("version"), given.get("ignore", ())
    if version is not None and type(version) not in (str, int):
        raise InvalidArgumentError(f"version must be a text or a number, not {version!r}")
    if key is not None and not (isinstance(key, Mapping) and all(map(callable, key.values()))):
        raise InvalidArgumentError(f"key must map names of parameters to functions, not {key!r}")
    if not isinstance(ignore, Iterable):
        raise InvalidArgumentError(f"ignore must name parameters, not {ignore!r}")
    return Counting(ignore, key or {}, version)


def checked(options: Options, changes: Mapping[str, Any]) -> Options:
    """Options with changes.

    Raises:
        InvalidArgumentError: one that is not legal.
        TypeError: one that there is not.
    """
    unknown = changes.keys() - set(Options._fields)
    if unknown:
        raise TypeError(
            f"unexpected option {min(unknown)!r}; there are {', '.join(sorted((*Options._fields, *COUNTS)))}"
        )
    new = options._replace(**changes)
    if new.name is not None:
        try:
            check_key(new.name)
        except HoldfastError as error:
            raise InvalidArgumentError(f"the name of a node is like a key: {error}") from None
    if new.resources is not None and not isinstance(new.resources, Mapping):
        raise InvalidArgumentError(f"resources are amounts by name, as in {{'cpus': 2}}, not {new.resources!r}")
    if type(new.retries) is not int or new.retries < 0:
        raise InvalidArgumentError(f"retries must be a number from 0 on, not {new.retries!r}")
    if new.timeout is not None and not (type(new.timeout) in (int, float) and 0 < new.timeout < math.inf):
        raise InvalidArgumentError(f"timeout must be a number of seconds above 0, or None for any, not {new.timeout!r}")
    if type(new.keep) is not bool:
        raise InvalidArgumentError(f"keep must be True or False, not {new.keep!r}")
    return new
