"""Workflows: stages, and which of them needs the results of which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ......errors import InvalidArgumentError

__all__ = ["SIMPLE", "WorkflowMetadata", "WorkflowResource", "WorkflowSpec", "WorkflowStage", "workflow_of"]

SIMPLE = "simple"
"""The type of a stage that is called once."""

_TYPES = (SIMPLE, "parameterized")


@dataclass(kw_only=True)
class WorkflowStage:
    """A function of a workflow.

    Attributes:
        name: by which others depend on it.
        target: the function, or where it is imported from, as ``package.module.function``.
        type: ``simple``, or ``parameterized``: called once for each item.
        depends_on: the stages whose results it is given, in this order.
        options: of ``parameterized``: ``map_on`` is the name of the input that has the items, in place of the first
            result; with ``allow_partial_failure`` items whose call raises are left out.
        resources: what a call takes, on Ray and Dask: ``cpus``, ``gpus``, ``memory`` in bytes, and others by name.
    """

    target: Callable[..., Any] | str
    name: str = ""
    type: str = SIMPLE
    depends_on: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)
    description: str = ""
    version: str = ""
    priority: int | None = None

    def __post_init__(self) -> None:
        target: Any = self.target
        if not callable(target) and not (isinstance(target, str) and "." in target.replace(":", ".")):
            raise InvalidArgumentError(
                f"the target of the stage {self.name!r} is a function or 'package.module.function', not {self.target!r}"
            )
        self.name = self.name or getattr(self.target, "__name__", "") or str(self.target).rpartition(".")[2]
        if self.type not in _TYPES:
            raise InvalidArgumentError(
                f"the stage {self.name!r} has the type {self.type!r}: there are {' and '.join(_TYPES)}"
            )


@dataclass(kw_only=True)
class WorkflowMetadata:
    """What a workflow is called."""

    name: str


@dataclass(kw_only=True)
class WorkflowSpec:
    """What a workflow does: its stages, each behind those that it depends on."""

    stages: list[WorkflowStage]


@dataclass(kw_only=True)
class WorkflowResource:
    """A workflow."""

    metadata: WorkflowMetadata
    spec: WorkflowSpec


def workflow_of(definition: Mapping[str, Any] | WorkflowResource) -> WorkflowResource:
    """The workflow of a definition: ``{"metadata": {"name": ...}, "spec": {"stages": [...]}}``, or with ``name`` and
    ``stages`` at its top.

    Raises:
        InvalidArgumentError: it is none; the message names what is wrong.
    """
    if isinstance(definition, WorkflowResource):
        return definition
    if not isinstance(definition, Mapping):
        raise InvalidArgumentError(f"a workflow is a mapping with stages, not {definition!r}")
    given = (definition.get("spec") or definition).get("stages")
    if not isinstance(given, list) or not given:
        raise InvalidArgumentError("a workflow has a list of stages at spec.stages, with one at least")
    name = (definition.get("metadata") or definition).get("name", "workflow")
    stages = _ordered([_stage(each) for each in given])
    return WorkflowResource(metadata=WorkflowMetadata(name=name), spec=WorkflowSpec(stages=stages))


def _stage(given: Any) -> WorkflowStage:
    if isinstance(given, WorkflowStage):
        return given
    known = WorkflowStage.__dataclass_fields__
    if not isinstance(given, Mapping):
        problem = f"a stage is a mapping, not {given!r}"
    elif unknown := sorted(given.keys() - known):
        problem = f"a stage has no {unknown[0]!r}"
    elif "target" not in given:
        problem = f"the stage {given.get('name')!r} has no target"
    else:
        return WorkflowStage(**given)
    raise InvalidArgumentError(f"{problem}: there are {', '.join(known)}")


def _ordered(stages: list[WorkflowStage]) -> list[WorkflowStage]:
    """Those that depend on nobody first, then those that depend on them alone, and so on."""
    names = [stage.name for stage in stages]
    for stage in stages:
        missing = [name for name in stage.depends_on if name not in names]
        if missing:
            raise InvalidArgumentError(f"the stage {stage.name!r} depends on {missing[0]!r}, which is no stage")
    if len(set(names)) < len(names):
        raise InvalidArgumentError(f"two stages are called {next(name for name in names if names.count(name) > 1)!r}")
    done: list[WorkflowStage] = []
    left = stages
    while left:
        before = {stage.name for stage in done}
        ready = [stage for stage in left if before.issuperset(stage.depends_on)]
        if not ready:
            raise InvalidArgumentError(f"the stages {', '.join(stage.name for stage in left)} wait for each other")
        done += ready
        left = [stage for stage in left if stage not in ready]
    return done
