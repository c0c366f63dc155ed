"""Instances of flows: which states they went through, their log, and their data at the end."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from ..api import Scope
from ..errors import HoldfastError, InvalidArgumentError
from ..flows.instances import Instances
from ..flows.record import COMPLETE, CRASHED, PENDING
from .arguments import functions_from
from .logs import LogReader, line_json, line_text, tell
from .printing import document, print_columns
from .recorded import Recorded
from .wording import shown

if TYPE_CHECKING:
    from ..flows.engine import Engine

__all__ = ["FlowRun"]

_PAUSE = 0.3  # seconds between two looks at one that is followed
_PATIENCE = 10.0  # seconds for one that is cancelled to end
_LONGEST = 2000  # characters of data, for a person


class FlowRun(Recorded):
    """An instance of a flow."""

    kind = "flow"

    def __init__(self, scope: Scope, id: str, instances: Instances | None = None) -> None:
        """Look at it; ``instances`` remember who is alive.

        Raises:
            NotFoundError, InvalidArgumentError: there is none.
        """
        self._instances = instances or Instances(scope)
        self._info = info = self._instances.get(id)
        super().__init__(scope, info.id, info.status, info.begun, info.ended)

    @property
    def goes_on(self) -> bool:
        """See :class:`Recorded`."""
        return self.state == PENDING

    @property
    def how_to_end(self) -> str:
        """See :class:`Recorded`."""
        return f"holdfast runs cancel {self.id}"

    @property
    def within(self) -> bool:
        """Whether it is a subflow."""
        return bool(self._info.lineage)

    @property
    def what(self) -> str:
        """The path of its workflow, and whether it is a subflow; and the error, or the state where it is."""
        info = self._info
        more = info.error_code or ("" if self.state == COMPLETE else f"at {info.state}")
        return f"{info.path}{', a subflow' if self.within else ''}  {more}".rstrip()

    def own_facts(self) -> dict[str, Any]:
        """See :class:`Recorded`."""
        info = self._info
        return {
            "path": info.path, "invoker": info.invoker, "lineage": list(info.lineage), "at": info.state,
            "step": info.step, "flow": list(info.flow), "error_code": info.error_code,
            "error_message": info.error_message, "metadata": info.metadata,
        }  # fmt: skip

    def details(self, log: bool) -> dict[str, Any]:
        """Its output, if it is complete, and its log."""
        found: dict[str, Any] = {"output": self._instances.output(self.id)} if self.state == COMPLETE else {}
        return {**found, "log": [line_json(line) for line in self._instances.log(self.id)]} if log else found

    def show(self, log: bool) -> None:
        """See :class:`Recorded`."""
        info = self._info
        print(f"{info.path}; {self.times()}; begun by {shown(info.invoker)}")
        print(
            f"states {shown(' '.join(info.flow) or 'none yet')}{f' ({info.step:,} in all)' if info.step > 100 else ''}"
        )
        if info.error_message or info.error_code:
            print(shown(": ".join(filter(None, ("error", info.error_code, info.error_message)))))
        if self.state == CRASHED:
            print(f"at {shown(info.state)}; holdfast runs resume {self.id} goes on with it")
        if self.state == COMPLETE:
            text = json.dumps(self._instances.output(self.id))
            more = "" if len(text) <= _LONGEST else f"... ({len(text):,} characters: --json has all)"
            print(f"output {text[:_LONGEST]}{more}")
        if log:
            print_columns([[line_text(line)] for line in self._instances.log(self.id)])

    def follow(self, as_json: bool) -> FlowRun:
        """Tell the lines of its log."""
        reader = LogReader(self.scope, self.id)
        while True:
            run = FlowRun(self.scope, self.id)
            for line in reader.new():
                tell(line, as_json)
            if not run.goes_on:
                return run
            time.sleep(_PAUSE)

    def cancel(self) -> None:
        """End it, and wait until it has ended."""
        from ..flows.engine import Engine

        if self.ended is not None:
            raise InvalidArgumentError(f"the run {self.id} is {self.state}: there is nothing to cancel")
        with Engine(self.scope) as engine:  # which needs no functions for that
            engine.cancel(self.scope, self.id)
        end = time.monotonic() + _PATIENCE
        while FlowRun(self.scope, self.id).goes_on:
            if time.monotonic() > end:
                raise HoldfastError(f"the run {self.id} was told to end, and has not yet: runs show --follow tells")
            time.sleep(_PAUSE)

    def resume(self, functions: str | None, as_json: bool, quiet: bool) -> None:
        """Go on with it, as ``holdfast run`` does."""
        from .attending import attend

        def begin(engine: Engine) -> str:
            engine.resume(self.scope, self.id)
            return self.id

        _, output = attend(self.scope, functions_from(functions), begin, None, as_json, quiet)
        FlowRun(self.scope, self.id).answer(output, as_json)

    def answer(self, output: Any, as_json: bool) -> None:
        """Print its output, or with ``--json`` all about it, as who has run it to its end wants it."""
        if as_json:
            document({**self.facts(), **self.details(log=False)})
        else:
            print(json.dumps(output, separators=(",", ":")))

    def remove(self) -> None:
        """See :class:`Recorded`."""
        from ..flows.engine import Engine

        with Engine(self.scope) as engine:
            engine.remove(self.scope, self.id)
