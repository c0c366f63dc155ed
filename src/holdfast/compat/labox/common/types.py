"""Types that labox names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["JsonType", "TagMap"]

TagMap = Mapping[str, str]
"""Tags: names to words."""

JsonType = Any
"""What JSON has: None, bool, int, float, str, and lists, tuples and dicts of them."""
