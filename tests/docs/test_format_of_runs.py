"""What an instance of a flow leaves in a store is what the page on the format says, and all of it."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path
from typing import Any

import apsw

import holdfast

from .pages import DOCS

FLOW = """
atomic: [{scope: workflow, key: x}]
functions: [{id: sub, workflow: c.yaml}]
states:
- {id: get, type: getter, log: one, metadata: {at: get}, variables: [{key: x, scope: workflow}], transition: set}
- id: set
  type: setter
  variables:
  - {key: x, scope: workflow, value: 1}
  - {key: own, scope: instance, value: text, mimeType: text/plain}
  transition: call
- {id: call, type: action, action: {function: sub}, transition: wait}
- {id: wait, type: delay, duration: PT1M}
"""
LONG = "states: [{id: a, type: noop, transform: 'jq({l: [range(4000)]})'}]\n#" + "x" * 9000


def section() -> str:
    text = (DOCS / "format.md").read_text(encoding="utf-8")
    return text.partition("\n## Runs\n")[2].partition("\n## ")[0]


def unnamed(names: Any) -> list[str]:
    """Those of these names that the page does not have."""
    return [name for name in names if f"`{name}`" not in section()]


def records(scope: Any) -> dict[str, tuple[str, str | None, str | None]]:
    """Keys, with content type, serializer and tag."""
    return {each.key: (each.content_type, each.serializer, each.tags.get("type")) for each in scope.list()}


def test_the_page_names_all_that_an_instance_leaves(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "store") as store:
        prod = store.namespace("prod")
        prod.flows.register("/a/b.yaml", FLOW)
        prod.flows.register("/a/c.yaml", "states: [{id: a, type: noop}]")
        prod.flows.register("/long.yaml", LONG)
        prod.flows.run("/long.yaml", {"text": "y" * 9000})
        id = prod.flows.start("/a/b.yaml")
        end = time.monotonic() + 20
        while prod.flows.get(id).state != "wait":
            assert time.monotonic() < end
            time.sleep(0.01)
        run = prod.scope("run", id)
        facts, progress = run.get("instance"), run.get("progress")
        assert unnamed([*facts, "output", *progress, *progress["unit"]]) == []
        assert set(records(run)) == {"instance", "progress", "log/000000000"}
        assert [len(line) for line in run.get("log/000000000")] == [4]
        assert records(prod.instance(id)) == {"own": ("text/plain", None, None)}
        assert records(prod.scope("file", "tree")) == {
            "a": ("inode/directory", None, "directory"),
            **dict.fromkeys(("a/b.yaml", "a/c.yaml", "long.yaml"), ("application/yaml", None, "workflow")),
        }
        assert unnamed(["inode/directory", "directory", "application/yaml", "workflow"]) == []
        short, long = "holdfast.value@v1", "holdfast.text@v1"
        (other,) = [info.id for info in prod.flows.list() if info.path == "/long.yaml"]
        kinds = {key: serializer for key, (_, serializer, _) in records(prod.scope("run", other)).items()}
        assert kinds == {"instance": short, "definition": long, "output": long, "input": long}
        assert unnamed([*kinds, short, long]) == []
        leases = _leases(tmp_path)
        assert f"namespace:prod/holdfast/flows/{facts['runner']}" in leases
        address = "namespace:prod/workflow:%2Fa%2Fb.yaml/x"
        assert f"namespace:prod/holdfast/atomic/{hashlib.sha256(address.encode()).hexdigest()[:32]}" in leases
        prod.flows.cancel(id)
        assert re.findall(r"/(\w+)/`? and 32 hex", section()) == ["atomic"]


def _leases(folder: Path) -> set[str]:
    connection = apsw.Connection(str(folder / "store" / "catalog.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return {name for (name,) in connection.execute("SELECT name FROM leases")}
    finally:
        connection.close()
