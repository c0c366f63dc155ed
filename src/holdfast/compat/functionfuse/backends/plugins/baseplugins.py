"""Plugins: one half acts here before a node is handed over, the other where it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

__all__ = ["InitializerPlugin", "Plugin", "PluginCollection", "RandomStatePlugin"]


class Plugin:
    """What a plugin may have."""

    def local_initialize(self) -> Any:
        """Called here, before each node."""

    def remote_initialize(self) -> Callable[[], Any] | None:
        """Gives what is called where the node runs, before it; None for nothing."""
        return None


class InitializerPlugin(Plugin):
    """Calls a function without arguments before each node."""

    def __init__(self, func: Callable[[], Any]) -> None:
        self.func = func

    def remote_initialize(self) -> Callable[[], Any]:
        """The function."""
        return self.func


class RandomStatePlugin(Plugin):
    """Calls a function before each node with a seed that is another one each time: they count from ``seed`` on, and
    from ``min`` on again after ``max``."""

    def __init__(self, min: int, max: int, seed: int, seed_func: Callable[[int], Any]) -> None:
        self.min, self.max, self.seed, self.seed_func = min, max, seed, seed_func

    def local_initialize(self) -> None:
        """Count on."""
        self.seed = self.min if self.seed >= self.max else self.seed + 1

    def remote_initialize(self) -> Callable[[], Any]:
        """The function, with the seed."""
        return partial(self.seed_func, self.seed)


class PluginCollection(Plugin):
    """Several plugins, one after the other."""

    def __init__(self, plugins: Iterable[Any]) -> None:
        self.plugins = list(plugins)

    def local_initialize(self) -> list[Any]:
        """That of each."""
        return [plugin.local_initialize() for plugin in self.plugins]

    def remote_initialize(self) -> Callable[[], Any]:
        """That of each."""
        found = [plugin.remote_initialize() for plugin in self.plugins]
        return partial(_all, [function for function in found if function is not None])


def _all(functions: list[Callable[[], Any]]) -> None:
    for function in functions:
        function()
