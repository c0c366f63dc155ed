"""What prepares a worker for a node."""

from __future__ import annotations

from .baseplugins import InitializerPlugin, PluginCollection, RandomStatePlugin

__all__ = ["InitializerPlugin", "PluginCollection", "RandomStatePlugin"]
