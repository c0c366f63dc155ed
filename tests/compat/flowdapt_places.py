"""Where artifacts of the Flowdapt face can lie, as the arguments that name it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import holdfast
from holdfast.compat.places import place_of as opened

__all__ = ["PLACES", "Where", "place_of"]

Where = dict[str, Any]

PLACES = ["folder", "memory", "current"]

_numbers = count()


@contextmanager
def place_of(kind: str, folder: Path) -> Iterator[Where]:
    """The arguments of a place of that kind that nothing was put into yet; for the current store there are none."""
    if kind == "current":
        with holdfast.open(folder / "current") as store, store.context():
            yield {}
    elif kind == "memory":
        yield {"protocol": "memory", "base_path": f"test-{next(_numbers)}"}
    else:
        base = str(folder / "artifacts")
        yield {"protocol": "file", "base_path": base}
        opened("file", base).root._kernel.close()  # which is open for as long as the process, else
