"""Programs change: what an earlier version of a class wrote is read by the class of today, or says why not."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import holdfast
from holdfast import Storable, StorableDataclass, StorableValue
from holdfast.errors import DecodeError, InvalidArgumentError, NotRegisteredError
from holdfast.storable.pydantic import StorableModel

from .conftest import Open

EARLIER = Path(__file__).with_name("earlier")

# What tests.storable.earlier.classes had: moved here, renamed, and with new fields.


@dataclass
class Sample(StorableDataclass, class_id="e0000001"):
    """It was Measurement."""

    unit: str = "m"
    place: str  # type: ignore[misc]
    values: Any = None


class Options(StorableModel, class_id="e0000002"):
    """It was Settings."""

    steps: float
    solver: str = "fast"
    tolerance: float = 1e-6


@dataclass
class Result(StorableDataclass, class_id="e0000003", extra_fields="ignore"):
    """It was Simulation, and has no ``unit`` any more."""

    author: str = "unknown"
    tags: list[str] = field(default_factory=list)
    speed: float  # type: ignore[misc]
    frame: pd.DataFrame  # type: ignore[misc]
    settings: Options  # type: ignore[misc]
    small: Any = None
    measurements: list[Sample] = field(default_factory=list)
    log: Any = field(default=None, metadata={"stream_serializer": "holdfast.json-lines@v1"})


def test_what_an_earlier_version_wrote_is_read_after_classes_were_moved_renamed_and_given_new_fields(
    tmp_path: Path,
) -> None:
    assert "tests.storable.earlier.classes" not in sys.modules, "the classes of that time are gone"
    shutil.copytree(EARLIER / "store", tmp_path / "store")
    with holdfast.open(tmp_path / "store", create=False) as store:
        assert store.verify().fine
        scope = store.namespace("prod").workflow("forecast")
        got = scope.get("simulation")
        assert type(got) is Result
        assert (got.author, got.tags, got.speed) == ("unknown", [], 2.5)
        assert got.frame.equals(pd.DataFrame({"x": np.arange(6000), "y": np.arange(6000) / 4}))
        assert got.small.equals(pd.DataFrame({"a": [1, 2]}))
        assert got.settings == Options(steps=12.0)
        assert [type(sample) for sample in got.measurements] == [Sample, Sample]
        assert [(sample.place, sample.unit) for sample in got.measurements] == [("here", "m"), ("there", "m")]
        assert got.measurements[0].values.tolist() == list(range(5000))
        assert list(got.log) == [{"step": n} for n in range(3)]
        assert scope.get("settings") == Options(steps=3, solver="exact")
        assert scope.record("simulation").contents["frame"].serializer == "holdfast.pandas@v1"
        got.log = None
        scope.put("simulation", got)
        assert scope.get("simulation").author == "unknown"


def test_the_earlier_store_is_small() -> None:
    assert sum(path.stat().st_size for path in (EARLIER / "store").rglob("*") if path.is_file()) < 500_000


# --- the same within one process, wherever the store is ---------------------------------------------------------------


def define(body: str) -> Any:
    """A class of that code, which takes the place of the one before of its id: that is not to be found any more."""
    names: dict[str, Any] = {"dataclass": dataclass, "field": field, "StorableDataclass": StorableDataclass}
    exec(f"@dataclass\nclass {body}", names)
    return names[body.partition("(")[0]]


def test_a_field_is_added(open_store: Open) -> None:
    old = define("Old(StorableDataclass, class_id='e0000011'):\n  a: int")
    with open_store() as store:
        scope = store.namespace("prod")
        scope.put("k", old(a=1))
        added = "b: str = 'new'\n  a: int\n  c: list = field(default_factory=list)"
        new = define(f"New(StorableDataclass, class_id='e0000011'):\n  {added}")
        assert scope.get("k") == new(a=1, b="new", c=[])
        define("New(StorableDataclass, class_id='e0000011'):\n  a: int\n  d: str")
        with pytest.raises(DecodeError, match=r"prod/k: .*New\.d was not stored, and has no default: give it one"):
            scope.get("k")


def test_a_field_is_removed(open_store: Open) -> None:
    old = define("Old(StorableDataclass, class_id='e0000012'):\n  a: int\n  b: int = 2")
    with open_store() as store:
        scope = store.namespace("prod")
        scope.put("k", old(a=1))
        define("New(StorableDataclass, class_id='e0000012'):\n  a: int")
        with pytest.raises(DecodeError, match=r"prod/k: .*New has no field b, and one was stored: .*\"ignore\""):
            scope.get("k")
        new = define("New(StorableDataclass, class_id='e0000012', extra_fields='ignore'):\n  a: int")
        assert scope.get("k") == new(a=1)


def test_a_constructor_that_refuses_is_named(open_here: Open) -> None:
    old = define("Old(StorableDataclass, class_id='e0000013'):\n  a: int")
    with open_here() as store:
        scope = store.namespace("prod")
        scope.put("k", old(a=1))
        define(
            "New(StorableDataclass, class_id='e0000013'):\n  a: int\n"
            "  def __post_init__(self):\n    raise ValueError('a must be even')"
        )
        with pytest.raises(DecodeError, match=r"prod/k: .*dataclass@v1 cannot make a .*New.*a must be even"):
            scope.get("k")


def test_another_unpacker_is_named(open_here: Open) -> None:
    old = define("Old(StorableDataclass, class_id='e0000014'):\n  a: int")
    with open_here() as store:
        scope = store.namespace("prod")
        scope.put("k", old(a=1))
        scope.put("nested", [old(a=1)][0])
        unpacker = StorableValue.storable_config().unpacker  # type: ignore[union-attr]
        kind = type("Now", (Storable,), {"__module__": "elsewhere"}, class_id="e0000014", unpacker=unpacker)
        with pytest.raises(NotRegisteredError, match=r"prod/k, a .*Old: no unpacker is named 'holdfast\.dataclass@v1'"):
            scope.get("k")
        del kind


def test_a_class_that_was_registered_under_its_old_name_alone(open_here: Open) -> None:
    """A registry that names the class of today reads what that of yesterday wrote."""
    old = define("Old(StorableDataclass, class_id='e0000015'):\n  a: int")
    with open_here() as store:
        store.namespace("prod").put("k", old(a=1))
    new = define("New(StorableDataclass, class_id='e0000015'):\n  a: int")
    with open_here(registry=holdfast.Registry(storables=[new])) as store:
        assert store.namespace("prod").get("k") == new(a=1)
    with pytest.raises(InvalidArgumentError, match="the same class_id"):
        holdfast.Registry(storables=[old, new])
