"""``holdfast tour``: two minutes through what a store does, each line of it run and checked."""

from __future__ import annotations

import shutil
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from ...api import open as open_store
from ...errors import ExistsError
from ..arguments import JsonOption
from ..commands import WRONG
from ..printing import document, paint, print_columns
from ..wording import shown
from .stage import Shown, Stage
from .steps import Step, steps

__all__ = ["tour"]

_MARK = {"made by": "holdfast tour"}


def tour(
    folder: Annotated[
        str | None,
        typer.Argument(
            metavar="FOLDER",
            help="Where its store is made and kept; by default one that is removed.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """See in a few seconds what a store does: values, files, processes, versions, artifacts, listings.

    Every line that is shown is run and its result checked; the exit code is 0 only if all is as it should be. The data
    are carbon dioxide measurements of NOAA, in the public domain.

    \b
    Examples:
      holdfast tour
      holdfast tour ./tour && holdfast ls --store ./tour -R
    """
    began = time.monotonic()
    scratch = tempfile.mkdtemp(prefix="holdfast-tour-")
    place = str(Path(folder).absolute()) if folder else str(Path(scratch) / "store")
    try:
        _prepare(place)
        if not as_json:
            kept = "It is kept." if folder else "It is removed at the end; name a FOLDER to keep it."
            print(f"The store of this tour is {shown(place)}. {kept}\n")
        with resources.as_file(resources.files("holdfast") / "data" / "co2.csv") as table:
            stage = Stage(place, scratch, table)
            done = [_show(step, stage, as_json) for step in steps()]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _summary(done, place if folder else None, time.monotonic() - began, as_json)
    if not all(step.ok for step in done):
        raise typer.Exit(WRONG)


def _prepare(place: str) -> None:
    """Make the store, and begin anew where an earlier tour was; what is not a tour's is left alone.

    Raises:
        NotAStoreError: the folder holds other things.
        ExistsError: the store has a scope ``namespace:tour`` that no tour made.
    """
    with open_store(place) as store:
        scope = store.namespace("tour")
        if scope.present:
            if dict(scope.info().properties) != _MARK:
                raise ExistsError(f"{place} has a scope {scope} that no tour made: name another folder")
            scope.drop()
        scope.create(_MARK)


def _show(step: Step, stage: Stage, as_json: bool) -> Shown:
    if not as_json:
        print(f"{paint(step.name, 'bold')}. {step.says}\n", flush=True)
    done = stage.run(step)
    if not as_json:
        print("".join(f"    {shown(line)}\n" for line in done.output.splitlines()))
        for failure in done.failures:
            print(f"{paint('wrong', 'red')}: {failure}\n")
    return done


def _summary(done: list[Shown], kept: str | None, seconds: float, as_json: bool) -> None:
    fine = all(step.ok for step in done)
    if as_json:
        document({"ok": fine, "store": kept, "seconds": seconds, "steps": [step._asdict() for step in done]})
        return
    words = {True: paint("as it should be", "green"), False: paint("wrong", "red")}
    print_columns([(step.name, words[step.ok], f"{step.seconds:.2f} s") for step in done], right=(2,))
    print(f"\n{sum(step.ok for step in done)} of {len(done)} steps as they should be, in {seconds:.1f} s.")
    if kept:
        print(f"Look around: holdfast ls --store {shown(kept)} -R")
