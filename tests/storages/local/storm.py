"""One of the processes of a storm: ``python -m tests.storages.local.storm <memory> <board> <seed> <rounds>``.

It puts, gets, replaces and deletes values of one store with others that do the same, and checks whatever it reads.
The board stands for the catalog: a file for each key, replaced as a whole, says which config has which value.
"""

from __future__ import annotations

import json
import os
import random
import sys

from holdfast.errors import StorageFullError, ValueLost
from holdfast.storages.local import LocalMemory

from .programs import MB, pattern, put

KEYS = 12
LIMIT = 48 * MB


def _right(view: object, seed: str, size: int) -> bool:
    return bytes(view) == pattern(size, seed)  # type: ignore[call-overload]


def main(folder: str, board: str, seed: int, rounds: int) -> None:
    """The process' whole life, unless it is killed; status 3 when a view was stale or torn."""
    choice = random.Random(seed)
    memory = LocalMemory("storm", folder=folder, size=LIMIT)
    kept: list[tuple[object, str, int]] = []
    for number in range(rounds):
        path = f"{board}/{choice.randrange(KEYS)}"
        config, value, size = _read(path)
        if choice.random() < 0.5:
            fresh, length = f"{os.getpid()}/{seed}/{number}", choice.randrange(100_000, 3 * MB)
            try:
                new = put(memory, pattern(length, fresh))
            except StorageFullError:
                kept.clear()
                continue
            with open(f"{path}-{os.getpid()}", "w") as file:
                json.dump([new, fresh, length], file)
            os.replace(file.name, path)
            if config is not None:
                memory.delete(config)
        elif config is not None:
            try:
                (view,) = memory.view(config, size)
                kept.append((view, value, size))
                if not _right(memory.read(config), value, size):
                    sys.exit(3)
            except ValueLost:
                continue
        if not all(_right(*one) for one in kept[-3:]):
            sys.exit(3)
        del kept[: -choice.randrange(1, 6)]
        if number % 16 == 0:
            for item in memory.abandoned():  # what the board names stays
                item.release()
    if not all(_right(*one) for one in kept):
        sys.exit(3)


def _read(path: str) -> tuple[str | None, str, int]:
    try:
        with open(path) as file:
            config, value, size = json.load(file)
            return config, value, size
    except FileNotFoundError:
        return None, "", 0


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
