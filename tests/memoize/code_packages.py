"""Small packages that pip really installs: made by a backend of our own, so that nothing need be fetched for it."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

__all__ = ["install"]

PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "{name}"
version = "{version}"
"""

BACKEND = """
import pathlib, zipfile
def build(folder, files):
    wheel = "{wheel}-{version}-py3-none-any.whl"
    info = "{wheel}-{version}.dist-info"
    files |= {{
        f"{{info}}/METADATA": "Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n",
        f"{{info}}/WHEEL": "Wheel-Version: 1.0\\nGenerator: own\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }}
    record = "".join(f"{{name}},,\\n" for name in [*files, f"{{info}}/RECORD"])
    with zipfile.ZipFile(pathlib.Path(folder, wheel), "w") as archive:
        for name, text in [*files.items(), (f"{{info}}/RECORD", record)]:
            archive.writestr(name, text)
    return wheel
def build_wheel(folder, config_settings=None, metadata_directory=None):
    source = pathlib.Path("source")
    return build(folder, {{str(path.relative_to(source)): path.read_text() for path in source.rglob("*.py")}})
def build_editable(folder, config_settings=None, metadata_directory=None):
    return build(folder, {{"{wheel}.pth": str(pathlib.Path("source").resolve())}})
"""


def install(folder: Path, name: str, version: str, files: dict[str, str], editable: bool = False) -> Path:
    """Install a distribution with these files below ``folder``; gives the folder that it is then imported from."""
    project = folder / f"project_{name}"
    for file, text in files.items():
        path = project / "source" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (project / "pyproject.toml").write_text(PROJECT.format(name=name, version=version))
    (project / "backend.py").write_text(BACKEND.format(name=name, version=version, wheel=name.replace("-", "_")))
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--no-cache-dir", "--ignore-installed"]
    options += ["--prefix", str(folder / "installed"), "--disable-pip-version-check"]
    target = ["-e", str(project)] if editable else [str(project)]
    command = [sys.executable, "-m", "pip", "install", "-q", *options, *target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(sysconfig.get_path("purelib", vars={"base": str(folder / "installed")}))
