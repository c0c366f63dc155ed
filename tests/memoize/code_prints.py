"""Prints the fingerprints of ``main.f`` of packages as JSON. Run as ``python code_prints.py <folder> <package> ...``.

It is a program so that it can run in other processes, under other hash seeds and other versions of Python.
"""

from __future__ import annotations

import importlib
import json
import sys

from holdfast.memoize.code import Codes


def main(folder: str, *packages: str) -> None:
    sys.path.insert(0, folder)
    codes = Codes()
    found = {}
    for package in packages:
        print_ = codes.fingerprint(importlib.import_module(f"{package}.main").f)
        assert print_.current(), package
        found[package] = print_.digest.hex(), print_.parts
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
