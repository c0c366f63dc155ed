"""Hooks that save frames and arrays in an artifact, and load them."""

from __future__ import annotations

from . import collections as collections  # registers what it has
from .arrays import array_from_artifact, array_to_artifact
from .dataframes import dataframe_from_artifact, dataframe_to_artifact
from .handler import get_handler_func, register_handler

__all__ = [
    "array_from_artifact",
    "array_to_artifact",
    "dataframe_from_artifact",
    "dataframe_to_artifact",
    "get_handler_func",
    "register_handler",
]

_INTERNAL = ("collections",)
