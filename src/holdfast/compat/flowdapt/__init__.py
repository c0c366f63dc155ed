"""Flowdapt's object store, cluster memory and artifacts over a Holdfast store."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.52"
"""The version of flowdapt whose names these are."""

_INTERNAL = ("errors",)  # modules that the original does not have: found by our name only
