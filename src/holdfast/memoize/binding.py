"""From a call to its arguments in the order of the signature, however they were passed, and to their digest."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from ..errors import InvalidArgumentError, UnhashableError
from .canonical import Canonical

__all__ = ["Argument", "Binding"]

_EMPTY: Any = inspect.Parameter.empty
_KINDS = inspect.Parameter
_SHORT = 60
_SCALARS = frozenset((bool, float, complex, type(None)))
_MOST = 20  # items that can be shown in so little room


class Argument(NamedTuple):
    """What is remembered of one argument of a stored call.

    Attributes:
        digest: 8 hex digits.
        text: the value as text when that is short, else its type.
    """

    digest: str
    text: str


class Binding:
    """How one function takes its arguments, and which of them count.

    Raises:
        InvalidArgumentError: ``ignore`` or ``key`` name a parameter that there is not, or there is no signature.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        canonical: Canonical,
        ignore: Iterable[str],
        key: Mapping[str, Callable[[Any], Any]],
    ) -> None:
        try:
            self.signature = inspect.signature(function)
        except (TypeError, ValueError) as error:
            raise InvalidArgumentError(f"{function!r} cannot be memoized: {error}") from error
        parameters = list(self.signature.parameters.values())
        names = [parameter.name for parameter in parameters]
        ignored = {ignore} if isinstance(ignore, str) else set(ignore)
        _check_names("ignore", ignored, names)
        _check_names("key", key, names)
        self._canonical = canonical
        self._name = getattr(function, "__qualname__", repr(function))
        self._names = names
        self._counted = [(at, name, key.get(name)) for at, name in enumerate(names) if name not in ignored]
        self._all = len(self._counted) == len(names) and not key
        self._prefix = repr([name for _, name, _ in self._counted]).encode()
        kinds = {parameter.kind for parameter in parameters}
        self._plain = not kinds & {_KINDS.VAR_POSITIONAL, _KINDS.VAR_KEYWORD}
        self._positional = sum(p.kind in (_KINDS.POSITIONAL_ONLY, _KINDS.POSITIONAL_OR_KEYWORD) for p in parameters)
        # A name that no keyword can have stands for a parameter that is passed by position only.
        self._passed = [("" if p.kind is _KINDS.POSITIONAL_ONLY else p.name, p.default) for p in parameters]

    def values(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
        """The value of each parameter, defaults applied, in the order of the signature.

        Raises:
            TypeError: the function would not take these arguments.
        """
        count = len(args)
        if self._plain and count <= self._positional:
            values, used = list(args), 0
            for name, default in self._passed[count:]:
                if name in kwargs:
                    values.append(kwargs[name])
                    used += 1
                elif default is _EMPTY:
                    break
                else:
                    values.append(default)
            else:
                if used == len(kwargs):
                    return values
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self._name}(): {error}") from None
        bound.apply_defaults()
        return [bound.arguments[name] for name in self._names]

    def digest(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, stands_in: Callable[[Any], bool] | None = None
    ) -> str:
        """32 hex digits, equal for calls with equal arguments.

        Args:
            stands_in: tells of an argument whether it stands for one that is not known yet: it then counts as it is,
                whatever ``key`` says.

        Raises:
            UnhashableError: an argument has no reliable hash.
        """
        values = self.values(args, kwargs)
        if self._all:
            try:
                pieces = list(map(self._canonical.encode, values))
            except UnhashableError:
                pieces = self._pieces(values)  # which names the argument
        else:
            pieces = self._pieces(values, stands_in)
        return sha256(self._prefix + b"".join(pieces)).hexdigest()[:32]

    def _pieces(self, values: list[Any], stands_in: Callable[[Any], bool] | None = None) -> list[bytes]:
        found = []
        for at, name, convert in self._counted:
            value = values[at]
            try:
                if convert is not None and not (stands_in is not None and stands_in(value)):
                    value = convert(value)
                found.append(self._canonical.encode(value))
            except UnhashableError as error:
                raise UnhashableError(
                    f"{self._name}: argument {name!r}{error.message}; pass a plain value, or "
                    "let key= of store.memoize or holdfast.task say by what it counts, or ignore= leave it out"
                ) from error
        return found

    def describe(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Argument]:
        """What is remembered of each argument that counts, by its name."""
        values = self.values(args, kwargs)
        pieces = self._pieces(values)
        return {
            name: Argument(sha256(piece).hexdigest()[:8], _text(values[at]))
            for (at, name, _), piece in zip(self._counted, pieces, strict=True)
        }


def _check_names(what: str, given: Iterable[str], names: list[str]) -> None:
    for name in given:
        if name not in names:
            raise InvalidArgumentError(f"{what}= names {name!r}; the parameters are {', '.join(names) or 'none'}")


def _text(value: Any) -> str:
    if _is_short(value):
        text = repr(value)
        if len(text) <= _SHORT and text.isprintable() and text.isascii():
            return text
    kind = type(value).__name__
    try:
        shape = value.shape
    except Exception:  # whatever an object of the caller's says to that
        return kind
    return f"{kind}{shape}" if type(shape) is tuple and all(type(size) is int for size in shape) else kind


def _is_short(value: Any, depth: int = 0) -> bool:
    """Whether it may have a short text, and nothing of the caller's would run to make it."""
    kind = type(value)
    if kind is int:
        return bool(abs(value) < 1 << 200)
    if kind is str or kind is bytes:
        return len(value) <= _SHORT
    if kind not in (list, tuple, dict):
        return kind in _SCALARS
    if len(value) > _MOST or depth > _MOST:
        return False
    parts = [*value, *value.values()] if kind is dict else list(value)
    return all(_is_short(part, depth + 1) for part in parts)
