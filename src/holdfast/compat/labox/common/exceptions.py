"""The errors that labox names: two of Holdfast's own."""

from __future__ import annotations

from ....errors import NotRegisteredError, ValueLost

__all__ = ["NoStorageData", "NotRegistered"]

NoStorageData = ValueLost
"""A storage has no bytes for a config."""

NotRegistered = NotRegisteredError
"""A registry has no component, or class, of that name (a :class:`KeyError`)."""
