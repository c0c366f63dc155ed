"""usage: python -m holdfast.compat NAMES (script.py | -m module) [args]

Runs a script or a module as Python would; what it imports from the systems NAMES comes from Holdfast.

  NAMES      {faces}; several with commas between
  script.py  a file, with its own arguments behind it
  -m module  a module or package, as with python -m

The store is the one that HOLDFAST_STORE or holdfast.toml names. Exit codes are the script's own; 2 when this call is
not well formed. Processes that multiprocessing starts, and workers of Holdfast's executors, have the faces too; other
programs that the script starts do not.
"""

from __future__ import annotations

import builtins
import io
import os
import runpy
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import NoReturn

from ..errors import InvalidArgumentError
from . import Arguments, faces, install

__all__: list[str] = []

_USAGE = (__doc__ or "").partition("\n")[0]


def _refuse(problem: object) -> NoReturn:
    print(f"{problem}\n{_USAGE}\nTry: python -m holdfast.compat --help", file=sys.stderr)
    raise SystemExit(2)


def _main(words: list[str]) -> None:
    if words[:1] in (["-h"], ["--help"]):
        print((__doc__ or "").format(faces=", ".join(faces())))
        return
    names = words[0].split(",") if words else []
    try:
        install(*names)
    except InvalidArgumentError as error:
        _refuse(error)
    as_module = words[1:2] == ["-m"]
    what = words[2 if as_module else 1 :]
    if not what or (what[0].startswith("-") and not as_module):
        _refuse(f"name a script, or -m and a module, behind {words[0]}")
    sys.argv = Arguments(names, what)
    if not as_module:
        _run_script(what[0])
    elif (top := what[0].partition(".")[0]) and find_spec(top) is not None:
        runpy.run_module(what[0], run_name="__main__", alter_sys=True)
    else:
        _refuse(f"no module {what[0]}")


def _run_script(path: str) -> None:
    full = os.path.abspath(path)
    try:
        with io.open_code(full) as file:
            source = file.read()
    except OSError as error:
        _refuse(f"cannot read {path}: {error.strerror}")
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    main = ModuleType("__main__")  # it stays: what the script leaves running may look itself up there
    vars(main).update(__builtins__=builtins, __file__=full)
    sys.modules["__main__"] = main
    exec(compile(source, full, "exec", dont_inherit=True), vars(main))


if __name__ == "__main__":
    _main(sys.argv[1:])
