"""Files of any size pass through the file system within little memory."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.kernel.tools import python

PEAK = """
import hashlib, os, sys, time
import fsspec
folder, size = sys.argv[1], int(sys.argv[2])
fs = fsspec.filesystem("holdfast", store=folder + "/data")

def peak():  # since it was last cleared
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

with fs.open("namespace:a/warm", "wb") as file:
    file.write(bytes(3_000_000))
assert len(fs.cat_file("namespace:a/warm")) == 3_000_000
fs.rm("namespace:a/warm")
with open("/proc/self/clear_refs", "w") as refs:
    refs.write("5")  # the peak begins anew
before = peak()
block, digest, begin = os.urandom((1 << 20) - 8), hashlib.blake2b(), time.monotonic()
with fs.open("namespace:a/file", "wb") as file:
    for number in range(size >> 20):
        piece = number.to_bytes(8, "big") + block
        digest.update(piece)
        file.write(piece)
written, found, length = time.monotonic(), hashlib.blake2b(), 0
with fsspec.open("holdfast://namespace:a/file", store=folder + "/data") as file:
    while data := file.read(1 << 20):
        found.update(data)
        length += len(data)
read = time.monotonic()
assert (length, found.digest()) == (size >> 20 << 20, digest.digest())
if size < 1 << 30:
    with fs.open("namespace:a/file", "ab") as file:
        file.write(b"end")
    with fs.open("namespace:a/file", "r+b") as file:
        file.seek(5)
        file.write(b"middle")
    fs.get("namespace:a/file", folder + "/local")
    fs.put(folder + "/local", "namespace:a/again")
    assert fs.cat_file("namespace:a/again", -3) == b"end"
    assert fs.cat_file("namespace:a/again", 5, 11) == b"middle"
fs.cp("namespace:a/file", "namespace:b/file")
grown = peak() - before
print(f"{size >> 20} MB: {written - begin:.1f} s to write, {read - written:.1f} s to read, {grown:.1f} MB more memory")
assert grown < 64, f"{grown} MB"
"""


@pytest.mark.parametrize("megabytes", [100, pytest.param(200, marks=pytest.mark.long)])
def test_hundreds_of_megabytes(tmp_path: Path, megabytes: int) -> None:
    print(python(PEAK, str(tmp_path), str(megabytes << 20)).stdout)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_5_gigabytes(tmp_path: Path) -> None:
    print(python(PEAK, str(tmp_path), str(5 << 30)).stdout)
    shutil.rmtree(tmp_path)
