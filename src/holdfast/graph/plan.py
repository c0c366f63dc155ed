"""What there is to be run: the nodes that are needed, in an order, each with its name and its key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from ..errors import InvalidArgumentError
from .keys import Keys
from .node import MAKE, Input, Node

__all__ = [
    "DONE", "ELSEWHERE", "FAILED", "REUSES", "RUNNING", "SKIPPED", "STATES", "STORED", "UNNEEDED", "WAITING", "Plan",
    "Step",
]  # fmt: skip

REUSES = ("inputs", "name", None)
"""How stored results are found."""

UNNEEDED, STORED, WAITING, RUNNING, ELSEWHERE = "unneeded", "stored", "waiting", "running", "elsewhere"
DONE, FAILED, SKIPPED = "done", "failed", "skipped"
STATES = (UNNEEDED, STORED, WAITING, RUNNING, ELSEWHERE, DONE, FAILED, SKIPPED)
"""States of a node in a run: nothing needs it; its result was there; it waits for others; it runs; another run is about
it; it was run; it failed; it depends on one that failed."""


class Step:
    """A node in one run. Nodes that are the same call of a function are one step.

    Attributes:
        node: the node.
        name: what it is called in this run.
        task: what its function is called.
        key: where its result is found; None where it is found nowhere.
        code: the digest of its code, where that was asked for.
        needs: the steps before it.
        users: the steps behind it.
        state: one of :data:`STATES`.
        looked: whether it was looked whether its result is stored.
        lacking: how many of those before it are not there yet.
        wanted: how many are still to come that take its result.
        value, object, copy: its result, the object that its method changed, and a copy of that: at hand, or where
            they lie.
        begun, ended, tries, version, size, error: how it went.
    """

    __slots__ = (
        "begun", "code", "copy", "ended", "error", "key", "lacking", "looked", "name", "needs", "node", "object",
        "size", "state", "task", "tries", "users", "value", "version", "wanted",
    )  # fmt: skip

    def __init__(self, node: Node, name: str, needs: list[Step]) -> None:
        self.node = node
        self.name = name
        self.task = node._task.name if node._method in (None, MAKE) else f"{node._task.name}.{node._method}"
        self.key: str | None = None
        self.code = ""
        self.needs = needs
        self.users: list[Step] = []
        self.state = UNNEEDED
        self.looked = False
        self.lacking = self.wanted = 0
        self.value: Any = None
        self.object: Any = None
        self.copy: Any = None
        self.begun = self.ended = 0.0
        self.tries = 0
        self.version: int | None = None
        self.size: int | None = None
        self.error: BaseException | None = None

    @property
    def kept(self) -> bool:
        """Whether its result is stored. Those of objects and their methods are not: the object is not."""
        return self.key is not None and self.node._options.keep and self.node._method is None

    @property
    def problem(self) -> str | None:
        """What it raised, as text, also where that gives none."""
        if self.error is None:
            return None
        try:
            text = str(self.error)
        except Exception as reason:
            text = f"an error that gives no text: {type(reason).__name__}"
        return f"{type(self.error).__name__}: {text}"

    def __repr__(self) -> str:
        return f"<step {self.name} {self.state}>"


class Plan:
    """The graph of some nodes.

    Attributes:
        steps: all nodes that these depend on, and themselves, in an order in which they can be run.
        targets: what was asked for: of each, its step, and which item of its result.

    Raises:
        InvalidArgumentError: there is a circle, or there are two nodes of one name.
        UnhashableError: results are to be found by inputs, and one has no reliable hash.
    """

    def __init__(self, targets: Iterable[Input], reuse: str | None) -> None:
        wanted = list(targets)
        nodes = _ordered(dict.fromkeys(target.node for target in wanted))
        names = _names(nodes)
        self._of: dict[Node, Step] = {}
        self.steps: list[Step] = []
        keys, known, by_key = Keys(), dict[Node, str](), dict[str, Step]()
        for node in nodes:
            key, code = keys.of(node, known) if reuse == "inputs" else (None, "")
            same = None if key is None else by_key.get(key)
            if same is not None and _is_one(same.node, node):
                self._of[node], known[node] = same, str(key)
                continue
            needs = list(dict.fromkeys(self._of[need] for need in node._needs()))
            step = self._of[node] = Step(node, names[node], needs)
            step.key, step.code = names[node] if reuse == "name" else key, code
            if key is not None:
                known[node] = key
                by_key.setdefault(key, step)
            for need in needs:
                need.users.append(step)
            self.steps.append(step)
        self.targets = [(self._of[target.node], target) for target in wanted]

    def step_of(self, node: Node) -> Step:
        """The step of a node."""
        return self._of[node]

    def behind(self, pattern: str) -> list[Step]:
        """The steps whose names match a glob pattern, and all that depend on these.

        Raises:
            InvalidArgumentError: there is none of such a name.
        """
        found = {step for step in self.steps if fnmatchcase(step.name, pattern)}
        if not found:
            raise InvalidArgumentError(f"no node of the graph is called {pattern!r}: there are {_some(self.steps)}")
        for step in self.steps:  # which are in order
            if not found.isdisjoint(step.needs):
                found.add(step)
        return [step for step in self.steps if step in found]

    def counts(self) -> Mapping[str, int]:
        """How many steps are in each state."""
        return Counter(step.state for step in self.steps)


def _is_one(one: Node, other: Node) -> bool:
    """Whether nodes of one key are one step. Objects are not, which their methods change each for itself."""
    return one._method is None and not (one._after or other._after) and one._options.keep == other._options.keep


def _some(steps: Collection[Step]) -> str:
    names = [step.name for step in steps]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _ordered(wanted: Iterable[Node]) -> list[Node]:
    """These nodes and all that they depend on, each behind those that it depends on."""
    done: dict[Node, None] = {}
    path: dict[Node, Iterator[Node]] = {}
    for first in wanted:
        if first in done:
            continue
        path[first] = first._needs()
        while path:
            node = next(reversed(path))
            for need in path[node]:
                if need in path:
                    raise _circle(list(path), need)
                if need not in done:
                    path[need] = need._needs()
                    break
            else:
                del path[node]
                done[node] = None
    return list(done)


def _circle(path: list[Node], again: Node) -> InvalidArgumentError:
    nodes = [*path[path.index(again) :], again]
    said = " -> ".join(repr(node)[6:-1] for node in nodes)
    return InvalidArgumentError(f"these nodes wait for each other, so that none can be run: {said}")


def _names(nodes: Iterable[Node]) -> dict[Node, str]:
    """Names of nodes: their own; else that of the function with a number, in the order in which they were made."""
    names: dict[Node, str] = {}
    taken: dict[str, Node] = {}
    for node in nodes:
        name = node._options.name
        if name is None:
            continue
        other = taken.setdefault(name, node)
        if other is not node:
            raise InvalidArgumentError(
                f"two nodes are called {name!r}, of {other._task.name} and of {node._task.name}: give each a name of "
                "its own, as in node.set(name=...)"
            )
        names[node] = name
    numbers: Counter[str] = Counter()
    for node in sorted(nodes, key=lambda node: node._number):
        if node in names:
            continue
        called = node._task.name if node._method in (None, MAKE) else f"{node._task.name}.{node._method}"
        while True:
            numbers[called] += 1
            name = f"{called}_{numbers[called]:04}"
            if name not in taken:
                break
        names[node] = name
        taken[name] = node
    return names
