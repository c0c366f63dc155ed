"""What labox' components have in common."""

from __future__ import annotations

import re
from typing import Any, Self

from ....errors import InvalidArgumentError

__all__ = ["Component"]


class Component:
    """A class with a permanent name, which may stand with types in brackets.

    Raises:
        InvalidArgumentError: (a ValueError) at the definition of a class whose name has no ``@v<n>``.
    """

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        name = getattr(cls, "name", None)
        if name is not None and not (isinstance(name, str) and re.search(r"@v\d", name)):
            raise InvalidArgumentError(
                f"{cls.__module__}.{cls.__qualname__} has the name {name!r}: it must be like 'owner.what@v1'"
            )

    def __class_getitem__(cls, kinds: Any) -> type[Self]:
        return cls

    def __repr__(self) -> str:
        return f"{type(self).__name__}({getattr(self, 'name', '')!r})"
