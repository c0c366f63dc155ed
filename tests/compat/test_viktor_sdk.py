"""An app on the real VIKTOR SDK, in an environment of its own, run unmodified by ``python -m holdfast.compat``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import holdfast

from .jobs import environment

ROOT = Path(__file__).parents[2]

APP = """
import pickle

import viktor as vkt
from viktor import Color, File, Storage, UserError, ViktorController, geo
from viktor.api_v1 import API
from viktor.external.word import render_word_file
from viktor.geometry import Material, Point, Sphere
from viktor.parametrization import NumberField, Section, ViktorParametrization
from viktor.result import DownloadResult
from viktor.testing import mock_Storage
from viktor.utils import memoize, merge_pdf_files
from viktor.views import DataGroup, DataItem, DataResult, DataView, GeometryResult, GeometryView, PDFResult


class Parametrization(ViktorParametrization):
    tab = Section("Bridge")
    tab.span = NumberField("Span", default=10, suffix="m")


@memoize
def heavy(*, a):
    print("computing")
    return vkt.Point(a, Color(1, 2, 3).r, 0).x * 2


class Controller(ViktorController):
    label = "Bridge"
    parametrization = Parametrization

    @GeometryView("3D", duration_guess=1, x_axis_to_right=True)
    def shape(self, params, **kwargs):
        return GeometryResult(Sphere(Point(0, 0, 0), params["span"], material=Material("steel", color=Color.red())))

    @DataView("Data", duration_guess=1)
    def numbers(self, params, **kwargs):
        return DataResult(DataGroup(DataItem("Twice", heavy(a=params["span"]), suffix="m")))

    def report(self, params, **kwargs):
        file = PDFResult(file=File.from_data(f"Span {params['span']}")).file
        Storage().set("report", file, scope="entity")
        return DownloadResult(Storage().get("report", scope="entity"), "report.txt")


if __name__ == "__main__":
    controller = Controller(label="x")
    for _ in range(2):
        print(controller.numbers({"span": 10}).data.items[0].value)
    controller.report({"span": 10})
    print(Storage().get("report", scope="entity").getvalue())
    assert issubclass(UserError, Exception) and vkt.Parametrization is not None and vkt.core.Color is Color
    assert vkt.views.GeometryView is GeometryView and vkt.word.render_word_file is render_word_file
    assert pickle.loads(pickle.dumps(Color(1, 2, 3))) == Color(1, 2, 3)
    assert pickle.loads(pickle.dumps(Point(1, 2, 3))).z == 3
    assert vkt.File is File and vkt.__version__ == "14.36.2"
    try:
        vkt.no_such_name
    except AttributeError as error:
        assert "has no such thing" in str(error)
    else:
        raise AssertionError
"""


@pytest.mark.long
@pytest.mark.timeout(900)
def test_an_app_on_the_real_sdk(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "sdk"], check=True)
    program = tmp_path / "sdk" / "bin" / "python"
    subprocess.run([program, "-m", "pip", "install", "-q", "viktor==14.36.2", str(ROOT)], check=True, timeout=600)
    Path("app.py").write_text(APP)
    here = environment(HOLDFAST_STORE="data", HOLDFAST_VIKTOR_ENTITY="Bridge.1")

    def run(*words: str) -> str:
        command = [str(program), "-m", "holdfast.compat", "viktor", *words]
        done = subprocess.run(command, capture_output=True, text=True, env=here, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("app.py") == "computing\n20\n20\nSpan 10\n"
    assert run("-m", "app") == "computing\n20\n20\nSpan 10\n"[len("computing\n") :]
    with holdfast.open("data", create=False) as store:
        assert store.workspace("default").entity("Bridge.1").get("report") == b"Span 10"
    assert "hit" in run("-m", "holdfast", "memo", "explain", "app:heavy", "a=10")
