"""What needs more than the base install."""

from __future__ import annotations

_INTERNAL = ("objects",)  # modules that labox does not have
