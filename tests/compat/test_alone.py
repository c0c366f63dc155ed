"""Each module of the faces can be the first one that a program imports."""

from __future__ import annotations

from pathlib import Path

import holdfast

from .jobs import python

ALL_ALONE = """
import sys
from importlib import import_module
from multiprocessing import get_context

import asyncio, dask, fsspec, numpy, pandas
import holdfast

def alone(name):
    assert not any(loaded.startswith("holdfast.compat") for loaded in sys.modules)
    try:
        import_module(name)
    except BaseException as error:
        return f"{name}: {error!r}"

if __name__ == "__main__":
    with get_context("fork").Pool(2, maxtasksperchild=1) as pool:  # a process for each, that has what is not ours
        print(*filter(None, pool.imap(alone, sys.argv[1:])), sep="\\n")
"""


def test_each_module_can_be_imported_first() -> None:
    root = Path(holdfast.__file__).parent
    paths = [path.relative_to(root.parent).with_suffix("") for path in sorted((root / "compat").rglob("*.py"))]
    names = [".".join(path.parts).removesuffix(".__init__") for path in paths if path.name != "__main__"]
    assert len(names) > 100
    Path("alone.py").write_text(ALL_ALONE)
    assert python("alone.py", *names, "holdfast.compat.nothing").stdout == (
        "holdfast.compat.nothing: ModuleNotFoundError(\"No module named 'holdfast.compat.nothing'\")\n"
    )
