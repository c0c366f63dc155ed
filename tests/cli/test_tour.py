"""``holdfast tour``."""

from __future__ import annotations

import csv
import time
from importlib import resources
from pathlib import Path

import pytest

import holdfast
from holdfast.cli.tour.stage import Stage
from holdfast.cli.tour.steps import Step, steps

from .running import process, run


def test_the_tour_ends_well_and_leaves_nothing(tmp_path: Path) -> None:
    began = time.monotonic()
    ended = process("tour", folder=tmp_path, env={"TMPDIR": str(tmp_path)})
    assert ended.code == 0, ended.out + ended.err
    assert time.monotonic() - began < 60  # about 3 s
    assert ended.err == ""
    assert "11 of 11 steps as they should be" in ended.out
    assert "It is removed at the end" in ended.out
    assert ">>> flow.get(" in ended.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_a_tour_in_a_folder_is_kept_and_can_be_repeated(tmp_path: Path) -> None:
    for _ in range(2):
        ended = run("tour", tmp_path / "tour", "--json")
        assert ended.code == 0, ended.out
        report = ended.json
        assert report["ok"] is True
        assert report["store"] == str(tmp_path / "tour")
        assert [step["name"] for step in report["steps"]] == [step.name for step in steps()]
        assert all(step["ok"] and step["output"].startswith(">>> ") for step in report["steps"])
    with holdfast.open(tmp_path / "tour", create=False) as store:
        flow = store.namespace("tour").workflow("co2")
        assert flow.get("steps") == 600
        assert len(flow.get("annual")) == 49


def test_other_folders_and_scopes_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    ended = run("tour", tmp_path)
    assert ended.code == 1
    assert "holds other things" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    with holdfast.open(tmp_path / "store") as store:
        store.namespace("tour").put("mine", 1)
        assert run("tour", tmp_path / "store").code == 4
        assert store.namespace("tour").get("mine") == 1


@pytest.mark.parametrize(
    "code, check, told",
    [
        ("x = 1", "x == 2", "this does not hold: x == 2"),
        ("x = 1\nx.missing", "True", "AttributeError"),
        ("x = 1", "y", "NameError"),
        ('python("raise SystemExit(7)")', "True", "ended with 7"),
    ],
)
def test_a_step_that_fails_is_told(tmp_path: Path, code: str, check: str, told: str) -> None:
    stage = Stage(str(tmp_path / "store"), str(tmp_path), tmp_path)
    done = stage.run(Step("name", "says", code, (check,)))
    assert not done.ok
    assert told in done.failures[0]


def test_a_tour_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = [Step("wrong", "This one fails.", "1 + 1", ("1 + 1 == 3",))]
    monkeypatch.setattr("holdfast.cli.tour.steps", lambda: wrong)
    ended = run("tour", tmp_path / "t")
    assert ended.code == 1
    assert "wrong: this does not hold: 1 + 1 == 3" in ended.out
    assert "0 of 1 steps as they should be" in ended.out


def test_the_data_are_what_their_note_says() -> None:
    folder = resources.files("holdfast") / "data"
    rows = list(csv.DictReader((folder / "co2.csv").read_text().splitlines()))
    assert [int(row["year"]) for row in rows] == list(range(1975, 2024))
    assert all(330 < float(row["ppm"]) < 422 for row in rows)
    note = (folder / "README.md").read_text()
    assert "National Oceanic and Atmospheric Administration" in note
    assert "public domain" in note
