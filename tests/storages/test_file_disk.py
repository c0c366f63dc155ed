"""The file storage on disks that are full or may not be written, mounted for the test alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..mounts import linux_only, run_apart

pytestmark = linux_only


@pytest.mark.parametrize("scene", ["full", "no_names", "read_only", "places"])
def test_scene(scene: str, tmp_path: Path) -> None:
    run_apart("-m", "tests.storages.small_disk", scene, str(tmp_path))
