"""Which function saves or loads values of a type: by the type's full name, for one executor or for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ......errors import InvalidArgumentError

__all__ = ["get_handler_func", "register_handler"]

_handlers: dict[tuple[str, str, str], Callable[..., Any]] = {}


def register_handler(executor: str, data_type: str, operation: str, handler: Callable[..., Any]) -> None:
    """Use a function for values of a type, in place of the one before.

    Args:
        executor: ``local``, ``ray`` or ``dask``, or ``*`` for all that have none of their own.
        data_type: full name of the type, such as ``numpy.ndarray``.
        operation: ``to_artifact``, called with artifact and value, or ``from_artifact``, called with the artifact; both
            also get the options of the hook, ``format=`` among them.
        handler: the function.
    """
    if not callable(handler):
        raise InvalidArgumentError(f"handler is a function, not {handler!r}")
    _handlers[executor, data_type, operation] = handler


def get_handler_func(executor: str, data_type: str, operation: str) -> Callable[..., Any]:
    """The function for values of a type on an executor.

    Raises:
        InvalidArgumentError: there is none (a ValueError).
    """
    found = _handlers.get((executor, data_type, operation)) or _handlers.get(("*", data_type, operation))
    if found is None:
        known = sorted({name for where, name, what in _handlers if where in ("*", executor) and what == operation})
        raise InvalidArgumentError(
            f"nothing is registered to do {operation} with a {data_type} on {executor}: there is {', '.join(known)}; "
            "add to them by register_handler()"
        )
    return found
