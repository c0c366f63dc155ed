"""Imports go down only, and never in a circle (docs/design.md, "Floors").

A new module fails here by name until it has its place in the table below.
"""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from .graph import Import, brought, imports, module_files

ROOT = Path(__file__).parents[2] / "src"

KERNEL = [
    "kernel",
    "options",
    "memory",
    "signing",
    "layout",
    "contents",
    "objects",
    "steps",
    "reading",
    "writing",
    "transaction",
    "streams",
    "stream",
    "renewal",
    "lease",
    "keeper",
    "values",
    "files",
    "listing",
    "history",
    "navigation",
    "scope",
    "store",
]
VIEWS = [
    "artifact", "storable", "memoize", "context", "aio", "filesystem", "upkeep", "exchange", "tokens", "apart",
]  # fmt: skip

CONTRACTS = ["serializers.base", "storages.base", "storages.ephemeral", "catalog.base", "storable.base"]

# What several implementations of a contract stand on.
STOOD_ON = [
    "serializers.exact_json", "serializers.items", "serializers.tables",
    "storages.buffers", "storages.dialing", "storages.forking", "storages.mapping", "storages.places",
    "storages.remote",
    "catalog.sql", "catalog.wire", "catalog.channel",
]  # fmt: skip

# Floor by name, without "holdfast."; the name of a folder stands for all in it.
FLOORS: dict[int, list[str]] = {
    0: ["errors", "address", "model", "hashing", "payload", "stopping", "compression"],
    1: [*CONTRACTS, "storages.asynchronous", "storages.bridge", "storages.loops", *STOOD_ON],
    2: ["serializers", "storages", "catalog"],
    3: ["registry", "config"],
    4: KERNEL,
    5: VIEWS,
    6: ["executors", "graph", "flows"],
    7: ["api", "verbs"],
    8: ["service", "cli", "compat", "__main__"],
}
TOP = 8
BESIDE = "testing"  # ships for authors of backends: may use all up to BESIDE_SEES, and is used by nothing
BESIDE_SEES = 7
IMPLEMENTATIONS = ("serializers", "storages", "catalog")

_FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names}


def floor_of(module: str) -> int | None:
    """The floor of a module of the tree; None when the table does not know it."""
    name = module.partition(".")[2]
    if not name:
        return TOP
    while name:
        if name in _FLOOR_OF:
            return _FLOOR_OF[name]
        name = name.rpartition(".")[0]
    return None


def implementation(module: str) -> str | None:
    """``storages.file`` for ``holdfast.storages.file.writer``: the room that knows no other; None outside floor 2."""
    parts = module.split(".")[1:]
    if floor_of(module) != 2 or parts[0] not in IMPLEMENTATIONS:
        return None
    return ".".join(parts[:2])


def beside(module: str) -> bool:
    return module.split(".")[1:2] == [BESIDE]


def complaint(item: Import) -> str | None:
    """What is wrong with one import, None when it is allowed."""
    where = f"{item.source}:{item.line} imports {item.target}"
    if beside(item.source):
        target = BESIDE_SEES if beside(item.target) else floor_of(item.target)
        return None if target is None or target <= BESIDE_SEES else f"{where}: {BESIDE} sees up to {BESIDE_SEES}"
    if beside(item.target):
        return f"{where}: nothing may need {BESIDE}"
    source, target = floor_of(item.source), floor_of(item.target)
    if source is None or target is None:
        return None  # told once, by name, in violations()
    if target > source:
        return f"{where}: up from floor {source} to {target}"
    ours, theirs = implementation(item.source), implementation(item.target)
    if ours and theirs and ours != theirs:
        return f"{where}: no implementation knows another"
    return None


def cycle(items: Iterable[Import]) -> list[str]:
    """The modules of one import cycle, the first repeated at the end; empty when there is none."""
    graph: dict[str, set[str]] = {}
    for item in items:
        graph.setdefault(item.source, set()).add(item.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found[::-1]  # graphlib names the imported one first
    return []


def violations(root: Path) -> list[str]:
    """Everything that is wrong with the imports of ``root/holdfast``, a sentence each."""
    items = imports(root, "holdfast")
    files = module_files(root, "holdfast")
    unknown = [name for name in files if floor_of(name) is None and not beside(name)]
    found = [f"{name} has no floor: give it one in {Path(__file__).name}" for name in unknown]
    found += [
        f"{item.source}:{item.line} imports {item.target}: not there" for item in items if item.target not in files
    ]
    found += filter(None, map(complaint, items))
    circle = cycle([*items, *brought(items, files)])
    return [*found, "cycle: " + " -> ".join(circle)] if circle else found


def test_imports_go_down() -> None:
    assert violations(ROOT) == []


def test_the_graph_is_seen() -> None:
    """Guards the guard: imports known to be there are found."""
    seen = {(item.source, item.target) for item in imports(ROOT, "holdfast")}
    assert ("holdfast.model", "holdfast.hashing") in seen
    assert ("holdfast.storages.base", "holdfast.payload") in seen


def plant(root: Path, files: dict[str, str]) -> Path:
    """A tree that is in order, but for what ``files`` put in place of its modules."""
    tree = {
        "__init__": "from .api import open\n",
        "errors": "",
        "payload": "from .errors import DecodeError\n",
        "serializers/__init__": "",
        "serializers/base": "from ..payload import Payload\n",
        "serializers/json": "from .base import Serializer\n",
        "serializers/table/__init__": "from .rows import rows\n",
        "serializers/table/rows": "from ..base import Serializer\n",
        "store": "from .serializers import base, json\nimport holdfast.errors\n",
        "scope": "from . import store\n",
        "api": "from .scope import Scope\n",
        "testing/__init__": "from holdfast.api import open\nfrom . import faults\n",
        "testing/faults": "",
        **files,
    }
    for name, text in tree.items():
        path = root / "holdfast" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_tree_in_order_passes(tmp_path: Path) -> None:
    assert violations(plant(tmp_path, {})) == []


TYPE_CHECKING = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .store import Store\n"
LAZY_TABLE = "LAZY = {'Store': '.store'}\n"

FAULTS = {
    "upward": (
        {"errors": "from .payload import Payload\nfrom .store import Store\n"},
        "holdfast.errors:2 imports holdfast.store: up",
    ),
    "upward, absolute": ({"errors": "import holdfast.store as s\n"}, "holdfast.errors:1 imports holdfast.store: up"),
    "upward, of a module by name": (
        {"errors": "from . import store\n"},
        "holdfast.errors:1 imports holdfast.store: up",
    ),
    "upward, out of a folder": ({"serializers/base": "from .. import store\n"}, "base:1 imports holdfast.store: up"),
    "upward, the front door": ({"store": "from holdfast import open\n"}, "holdfast.store:1 imports holdfast: up"),
    "lazy": ({"errors": "def f():\n    from .store import Store\n"}, "holdfast.errors:2 imports holdfast.store: up"),
    "lazy, in a method": (
        {"errors": "class A:\n    async def f(self):\n        import holdfast.store\n"},
        "holdfast.errors:3 imports",
    ),
    "type checking": ({"errors": TYPE_CHECKING}, "holdfast.errors:3 imports holdfast.store: up"),
    "importlib": (
        {"errors": "import importlib\nimportlib.import_module('holdfast.store')\n"},
        "holdfast.errors:2 imports",
    ),
    "importlib, relative": (
        {"errors": "from importlib import import_module as m\nX = '.store'\nm(X, __package__)\n"},
        "holdfast.errors:2",
    ),
    "a table of lazy names": ({"errors": LAZY_TABLE}, "holdfast.errors:1 imports holdfast.store: up"),
    "an entry point": ({"errors": "X = 'holdfast.store:Store'\n"}, "holdfast.errors:1 imports holdfast.store: up"),
    "another implementation": ({"serializers/json": "from .table import rows\n"}, "no implementation knows another"),
    "inside another implementation": (
        {"serializers/json": "from .table.rows import x\n"},
        "no implementation knows another",
    ),
    "the folder knows implementations": (
        {"serializers/__init__": "from .json import x\n"},
        "no implementation knows another",
    ),
    "testing is needed": ({"store": "from .testing import faults\n"}, "nothing may need testing"),
    "testing sees too much": ({"cli/__init__": "", "testing/faults": "import holdfast.cli\n"}, "testing sees up to 7"),
    "unknown": ({"helpers": ""}, "holdfast.helpers has no floor"),
    "unknown, in a folder": ({"attic/__init__": "", "attic/old": ""}, "holdfast.attic.old has no floor"),
    "not there": ({"store": "from .shelf import x\n"}, "holdfast.store:1 imports holdfast.shelf: not there"),
    "cycle": ({"store": "from .scope import Scope\n"}, "cycle: holdfast.scope -> holdfast.store -> holdfast.scope"),
    "lazy cycle": ({"store": "def f():\n    from . import scope\n"}, "cycle: "),
    "type checking cycle": (
        {"payload": "from . import errors\n", "errors": TYPE_CHECKING.replace("store", "payload")},
        "cycle: ",
    ),
    "cycle of a folder": ({"serializers/table/rows": "from . import x\n"}, "cycle: "),
    "cycle through a folder, as what is in it loads it first": (
        {
            "catalog/__init__": "from ..registry import x\n",
            "catalog/base": "",
            "registry": "from .catalog import base\n",
        },
        "cycle: ",
    ),
    "long cycle": (
        {"store": "from . import kernel\n", "kernel": "from . import stream\n", "stream": "from . import scope\n"},
        "cycle: holdfast.",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_caught(tmp_path: Path, name: str) -> None:
    files, message = FAULTS[name]
    found = violations(plant(tmp_path, files))
    assert any(message in sentence for sentence in found), found
