"""What earlier versions recorded of instances is read and gone on with, for ever: each file of ``recorded/`` is the
records of one instance, as a version of this library left them. None is changed or removed; a new one comes with each
change of what is recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Place

RECORDED = Path(__file__).parent / "recorded"


def put(place: Place, name: str) -> str:
    """Put the records of an instance, and give its id."""
    records: dict[str, Any] = json.loads((RECORDED / name).read_text(encoding="utf-8"))
    id: str = records["instance"]["id"]
    for key, value in records.items():
        place.namespace.scope("run", id).put(key, value)
    return id


@pytest.mark.parametrize(
    "name", [f"{version}_{end}.json" for version in ("v1", "v2") for end in ("complete", "crashed")]
)
def test_what_was_recorded_is_shown(place: Place, name: str) -> None:
    id = put(place, name)
    known = place.engine.instances(place.namespace)
    (info,) = known.page()[1]
    assert (info.id, info.path, info.invoker) == (id, "/team/work.yaml", "api")
    assert info.metadata == {"at": "get"}
    assert known.definition(id).startswith("\natomic:")
    assert next(known.log(id)).text == "it begins"
    if name.endswith("_complete.json"):
        assert (info.status, info.flow) == ("complete", ("get", "set", "wait", "last", "end"))
        assert info.ended is not None
        assert known.output(id) == {"by": "me", "var": {"x": 2}}
    else:
        assert (info.status, info.state, info.step) == ("crashed", "wait", 2)


@pytest.mark.parametrize("name", ["v1_crashed.json", "v2_crashed.json"])
def test_what_was_recorded_of_one_that_crashed_is_gone_on_with(place: Place, name: str) -> None:
    id = put(place, name)
    workflow = place.namespace.workflow("/team/work.yaml")
    place.engine.resume(place.namespace, id)
    assert place.engine.wait(place.namespace, id, 10) == {"by": "me", "var": {"x": 1}}
    assert workflow.get_bytes("x") == b"1"  # which its setter had written, and was kept back
    assert place.namespace.get_bytes("y") == b"1"  # which a later one writes
    assert "resumed" in place.log(id)
