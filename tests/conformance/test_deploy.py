"""The files of deploy/: what they run is a service, and systemd takes the unit."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.service.base import Limits

from .services import ROOT, run

DEPLOY = ROOT / "deploy"


def _unit() -> str:
    return (DEPLOY / "holdfast.service").read_text(encoding="utf-8")


def _serves(arguments: list[str], folder: Path) -> None:
    """These arguments of the command start a service, which ends well by SIGTERM."""
    assert arguments[0] == "serve"
    changed = {"--store": str(folder / "store"), "--port": "0", "--host": "127.0.0.1"}
    words = [changed.get(before, word) for before, word in zip(["", *arguments], arguments, strict=False)]
    with subprocess.Popen(
        [sys.executable, "-m", "holdfast", *words, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["url"].startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=40)
    assert process.returncode == 0


def test_the_unit_starts_a_service(tmp_path: Path) -> None:
    (command,) = re.findall(r"^ExecStart=(.*)$", _unit(), re.MULTILINE)
    program, *arguments = shlex.split(command)
    assert program == "/opt/holdfast/bin/holdfast"
    _serves(arguments, tmp_path)
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", _unit(), re.MULTILINE)
    assert int(seconds) > Limits().shutdown_time
    (files,) = re.findall(r"^LimitNOFILE=(\d+)$", _unit(), re.MULTILINE)
    assert int(files) > Limits().connections + 1024


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "holdfast.service"
    unit.write_text(_unit().replace("/opt/holdfast/bin/holdfast", "/bin/true"))
    sections = re.findall(r"^\[(\w+)\]$", _unit(), re.MULTILINE)
    assert sections == ["Unit", "Service", "Install"]
    if shutil.which("systemd-analyze"):  # what there is on Linux; the rest is checked anywhere
        done = run(["systemd-analyze", "verify", unit])
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.long
def test_the_container_starts_a_service(tmp_path: Path) -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)
    (command,) = re.findall(r"^CMD (.*)$", text, re.MULTILINE)
    assert json.loads(entry) == ["holdfast"]
    _serves(json.loads(command), tmp_path)
    for copied in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in copied.split())


def test_nginx_waits_longer_than_a_request_may() -> None:
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    (seconds,) = re.findall(r"proxy_read_timeout (\d+)s;", text)
    routes = (ROOT / "src/holdfast/service/v1/changes.py").read_text(encoding="utf-8")
    (longest,) = re.findall(r"^_LONGEST = ([\d.]+)", routes, re.MULTILINE)
    assert float(seconds) > float(longest)
    assert "proxy_pass http://holdfast;" in text  # without a path, so that nginx sends it as it came
