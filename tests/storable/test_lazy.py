"""Fields that are read at their first use, whatever became of the record meanwhile."""

from __future__ import annotations

import gc
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

import holdfast
from holdfast import StorableDataclass
from holdfast.errors import ValueLost

from .conftest import Open
from .samples import ROWS, Leaf, Run, run

BIG = [{"n": n, "text": "x" * 100} for n in range(2000)]


@pytest.mark.parametrize("end", ["replaced", "deleted", "dropped"])
def test_files_stay_readable_when_the_record_is_gone(open_here: Open, tmp_path: Path, end: str) -> None:
    with open_here() as store:
        scope = store.namespace("prod")
        scope.put("run", run(table=None, lines=iter(BIG)), compression="zstd")
        scope.put("plain", run(table=None, lines=iter(BIG)))
        got = [scope.get(key) for key in ("run", "plain")]
        if end == "replaced":
            scope.put_many({"run": 1, "plain": 2})
        elif end == "deleted":
            scope.delete("run"), scope.delete("plain")
        else:
            scope.drop()
        store.sync()
        store.gc()
        assert not [path for path in (tmp_path / "data" / "files").rglob("*") if path.name.isdigit()]
        for one in got:
            assert one.frame.equals(run().frame)
            assert one.leaves[0].array.tolist() == list(range(ROWS))
            assert list(one.lines) == BIG
            one.frame.loc[0, "x"] = 5


def test_what_is_far_is_gone_with_the_record_and_says_so(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ..kernel.places import opener_of, set_keys

    set_keys(monkeypatch)
    with opener_of("sqlite+s3", request)(tmp_path / "data", cache="off") as store:
        scope = store.namespace("prod")
        scope.put("run", run(table=None))
        got = scope.get("run")
        frame = got.frame
        scope.put("run", run(table=None, speed=9.0, leaves=[Leaf(name="other")], plot=None))
        store.gc()
        assert got.frame is frame
        with pytest.raises(ValueLost, match=r"Run\.leaves/0/array\].*replaced after its object was got\? Then get it"):
            got.leaves[0].array  # noqa: B018
        assert scope.get("run").frame.equals(frame), "what both records have stays"


def test_after_the_store_was_closed(open_here: Open) -> None:
    with open_here() as store:
        store.namespace("prod").put("run", run(table=None))
        got = store.namespace("prod").get("run")
    assert got.frame.equals(run().frame)


def test_an_object_that_is_got_holds_little_memory(open_here: Open) -> None:
    import tracemalloc

    with open_here() as store:
        scope = store.namespace("prod")
        scope.put("leaf", Leaf(name="a", array=np.zeros(8_000_000)))
        scope.get("leaf")
        tracemalloc.start()
        try:
            got = scope.get("leaf")
            assert got.array.sum() == 0
            assert tracemalloc.get_traced_memory()[1] < 1_000_000
        finally:
            tracemalloc.stop()


def test_two_threads_read_a_field_at_once(open_here: Open) -> None:
    with open_here() as store:
        scope = store.namespace("prod")
        scope.put("run", run(table=None))
        for _ in range(20):
            got: Any = scope.get("run")
            seen: list[Any] = []
            threads = [threading.Thread(target=lambda got=got, seen=seen: seen.append(got.frame)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert all(frame.equals(run().frame) for frame in seen)
            assert len(seen) == 4


@dataclass
class Base(StorableDataclass, class_id="c0000001"):
    """It has a field with a default that its subclass inherits."""

    frame: Any = None
    checked: int = field(default=0, init=False)
    seen: ClassVar[list[Any]] = []

    def __post_init__(self) -> None:
        self.checked = 0 if self.frame is None else len(self.frame)


@dataclass
class Below(Base, class_id="c0000002"):
    """It adds a field without a default behind one that has one."""

    array: np.ndarray  # type: ignore[misc]


class Own(StorableDataclass, class_id="c0000003"):
    """A constructor of its own sees values, not what is to be read."""

    array: np.ndarray

    def __init__(self, *, array: np.ndarray) -> None:
        self.array = array
        self.total = array.sum()


Own = dataclass(Own)  # type: ignore[misc]


def test_post_init_and_inheritance(open_here: Open) -> None:
    frame = pd.DataFrame({"x": np.arange(ROWS)})
    with open_here() as store:
        scope = store.namespace("prod")
        scope.put("base", Base(frame=frame))
        scope.put("below", Below(frame=frame, array=np.arange(ROWS)))
        scope.put("own", Own(array=np.ones(ROWS)))
        assert scope.get("base").checked == ROWS, "what the class reads while it is made is there"
        below = scope.get("below")
        assert type(below) is Below
        assert below.array.sum() == np.arange(ROWS).sum()
        assert below.frame.equals(frame)
        assert scope.get("own").total == ROWS
    assert Base.frame is None, "the default is where it was"
    assert Below(array=np.zeros(1)).frame is None
    with pytest.raises(AttributeError):
        Below.array  # type: ignore[misc]  # noqa: B018
    made = Base()
    made.frame = frame
    assert made.frame is frame
    del made.frame
    assert made.frame is None

    @dataclass
    class Later(Base, class_id="c0000004"):
        frame: pd.DataFrame | None = None
        more: int = 1

    assert (Later().frame, Later(more=2).more) == (None, 2)


def test_a_field_that_was_never_set(open_here: Open) -> None:
    one = Leaf(name="a")
    del one.array
    assert one.array is None, "the default of the class"
    other = Below(array=np.zeros(3))
    del other.array
    with open_here() as store, pytest.raises(holdfast.EncodeError, match=r"Below\.array was never set, or deleted"):
        store.namespace("prod").put("k", other)


def test_maps_are_let_go(open_here: Open, tmp_path: Path) -> None:
    def mapped() -> int:
        return Path("/proc/self/maps").read_text().count(str(tmp_path / "data" / "files"))

    with open_here() as store:
        scope = store.namespace("prod")
        scope.put("run", run(table=None))
        for _ in range(50):
            scope.get("run")
        gc.collect()
        before = mapped()
        held = [scope.get("run") for _ in range(10)]
        assert mapped() > before
        assert all(isinstance(one, Run) for one in held)
        del held
        gc.collect()
        assert mapped() <= before
