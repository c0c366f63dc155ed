"""The functions of this process, as they are configured."""

from __future__ import annotations

import os

from ...config import functions_file
from .caller import Functions

__all__ = ["configured"]


def configured(file: str | os.PathLike[str] | None = None) -> Functions:
    """The functions that a TOML file has: the one given, else the one that ``HOLDFAST_FUNCTIONS`` names, else the
    nearest ``holdfast.toml``. Without such tables there are none, and a flow that names one is not begun.

    Raises:
        InvalidArgumentError: the file cannot be read, or has a setting that is not legal.
    """
    path = functions_file(file)
    return Functions.from_settings({}) if path is None else Functions.from_toml(path)
