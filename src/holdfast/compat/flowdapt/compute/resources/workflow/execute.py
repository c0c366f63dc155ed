"""Running a workflow: its stages on an executor, each as soon as those that it depends on have ended."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib import import_module
from typing import Any

from ...... import executors
from ......errors import InvalidArgumentError, StoreNotFoundError
from ......executors import Executor
from ......verbs import current_store
from ...domain.models.workflow import SIMPLE, WorkflowResource, WorkflowStage, workflow_of
from ...domain.models.workflowrun import WorkflowRun, WorkflowRunState
from .context import WorkflowRunContext, reset_run_context, set_run_context

__all__ = ["execute_workflow"]


async def execute_workflow(
    workflow: Mapping[str, Any] | WorkflowResource,
    input: Mapping[str, Any] | None = None,
    *,
    namespace: str = "default",
    return_result: bool = False,
    run: WorkflowRun | None = None,
    executor: Executor | str | None = None,
    config: Mapping[str, Any] | None = None,
    **params: Any,
) -> Any:
    """Run a workflow, and give its run, or with ``return_result`` the result of the last stage.

    A stage is called with the results of those that it depends on, in their order, as many as it takes; one that
    depends on none is called with those inputs that it has parameters for. In a stage the namespace and the current
    store are the run's, and :func:`get_run_context` knows the run.

    Args:
        workflow: its definition; ``spec.stages`` has :class:`~...domain.models.workflow.WorkflowStage` as mappings.
        input: by name.
        namespace: whose keys and artifacts the stages use.
        return_result: give the result, and raise what a stage raises; else that is in the run.
        run: the run to go on with, instead of a new one.
        executor: one that is open, or its name: ``local``, ``processes``, ``threads``, ``ray``, ``dask``; threads of
            this process by default.
        config: of the run, for the stages.
        params: of the executor, when it is opened here; see :func:`holdfast.executors.open`.

    Raises:
        InvalidArgumentError: the definition or the executor is none; nothing is run.
        StoreError, MissingExtraError: the engine does not answer, or is not installed.
    """
    resource = workflow_of(workflow)
    functions = {stage.name: _function(stage) for stage in resource.spec.stages}
    run = WorkflowRun(workflow=resource.metadata.name, source="manual") if run is None else run
    with ExitStack() as stack:
        stack.enter_context(_surroundings(namespace, resource.metadata.name))
        chosen = executor if executor is not None else "threads"
        engine = stack.enter_context(executors.using(chosen, **params))
        run.state = WorkflowRunState.running
        context = WorkflowRunContext(
            input=dict(input or {}), namespace=namespace, executor=engine.memory, run=replace(run),
            definition=resource, config=dict(config or {}),
        )  # fmt: skip
        try:
            result = await _Running(engine, context, functions).all(resource.spec.stages)
        except BaseException as error:
            run.set_finished((type(error).__name__, str(error)), WorkflowRunState.failed)
            if return_result or not isinstance(error, Exception):
                raise
            return run
    run.set_finished(result)
    return result if return_result else run


class _Running:
    """A run on its way."""

    def __init__(
        self, engine: Executor, context: WorkflowRunContext, functions: Mapping[str, Callable[..., Any]]
    ) -> None:
        self._engine = engine
        self._context = context
        self._functions = functions
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    async def all(self, stages: Iterable[WorkflowStage]) -> Any:
        """The result of the last stage, when all have ended; the first error ends the others."""
        try:
            async with asyncio.TaskGroup() as group:
                for stage in stages:
                    self._tasks[stage.name] = group.create_task(self._stage(stage))
        except BaseExceptionGroup as error:
            failure = _first(error)
        else:
            return self._tasks[stage.name].result()
        raise failure  # with its own cause: where it was raised

    async def _stage(self, stage: WorkflowStage) -> Any:
        results = [await self._tasks[name] for name in stage.depends_on]
        given = {} if stage.depends_on else self._context.input
        function, options = self._functions[stage.name], stage.options
        if stage.type == SIMPLE:
            return await self._call(stage, *_arguments(stage, function, results, given))
        if options.get("map_on") is not None:
            name = options["map_on"]
            if name not in self._context.input:
                raise InvalidArgumentError(f"the stage {stage.name!r} maps on the input {name!r}, which was not given")
            results = [self._context.input[name], *results]
            given = {key: value for key, value in given.items() if key != name}
        if not results or not isinstance(results[0], Iterable):
            raise InvalidArgumentError(
                f"the stage {stage.name!r} is called for each item of a result, or of the input that options.map_on "
                f"names: there is {f'a {type(results[0]).__name__}' if results else 'none'}"
            )
        items, *others = results
        calls = [
            asyncio.ensure_future(self._call(stage, *_arguments(stage, function, [item, *others], given)))
            for item in items
        ]
        return await _gathered(calls, options.get("allow_partial_failure", False))

    def _call(self, stage: WorkflowStage, args: list[Any], kwargs: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        needs = stage.resources if self._engine.memory != "local" else None  # of a machine everything is used
        function = self._functions[stage.name]

        async def call() -> Any:
            future = self._engine.submit(_run, self._context, function, args, kwargs, resources=needs or None)
            return await asyncio.wrap_future(future)

        return call()


async def _gathered(calls: Sequence[asyncio.Future[Any]], partial: bool) -> list[Any]:
    if partial:
        results = await asyncio.gather(*calls, return_exceptions=True)
        return [result for result in results if not isinstance(result, Exception)]
    try:
        return list(await asyncio.gather(*calls))
    except BaseException:
        for call in calls:
            call.cancel()
        raise


def _run(context: WorkflowRunContext, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    """A call of a stage, where the executor runs it."""
    token = set_run_context(context)
    try:
        result = function(*args, **kwargs)
        return asyncio.run(result) if inspect.iscoroutine(result) else result
    finally:
        reset_run_context(token)


def _surroundings(namespace: str, workflow: str) -> Any:
    """The store's context of a run; none where no store is current, as stages need not use one."""
    try:
        return current_store().context(namespace=namespace, workflow=workflow)
    except StoreNotFoundError:
        return ExitStack()


def _function(stage: WorkflowStage) -> Callable[..., Any]:
    target = stage.target
    if not isinstance(target, str):
        return target
    module, _, name = target.replace(":", ".").rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InvalidArgumentError(f"the stage {stage.name!r} has no target {target!r}: {error}") from error
    if not callable(found):
        raise InvalidArgumentError(f"the target of the stage {stage.name!r}, {target!r}, is no function")
    return found  # type: ignore[no-any-return]


def _arguments(
    stage: WorkflowStage, function: Callable[..., Any], results: list[Any], given: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Of results and inputs those that a function takes.

    Raises:
        InvalidArgumentError: it needs others.
    """
    try:
        signature = inspect.signature(function)
    except ValueError:  # of some built-in functions
        return results, {}
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    every = inspect.Parameter.VAR_POSITIONAL in kinds
    places = kinds.count(inspect.Parameter.POSITIONAL_ONLY) + kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD)
    args = results if every else results[:places]
    every = inspect.Parameter.VAR_KEYWORD in kinds
    kwargs = {name: value for name, value in given.items() if every or name in signature.parameters}
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise InvalidArgumentError(f"the stage {stage.name!r} cannot be called with what there is: {error}") from None
    return args, kwargs


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
