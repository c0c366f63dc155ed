"""What is known of the machine. Real mounts are in test_file_disk.py."""

from __future__ import annotations

import os
import re
import socket
import sys

import pytest

from holdfast.errors import NetworkFilesystemError, StoreError
from holdfast.storages import places

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these sources are Linux'; macOS has others")

MOUNTS = r"""22 1 0:21 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:22 / /proc rw,relatime - proc proc rw
24 22 0:30 / /data rw,relatime shared:5 master:3 - nfs4 server:/export rw,vers=4.2
25 24 0:31 / /data/local rw,relatime - xfs /dev/sdb1 rw
26 22 0:32 / /mnt/two\040words\011tab\134slash rw - cifs //server/share rw
27 22 0:33 / /home/me/remote rw,nosuid - fuse.sshfs me@host: rw,user_id=1000
28 22 0:34 / /auto rw - autofs systemd-1 rw
29 28 0:35 / /auto rw - nfs server:/auto rw
30 22 0:36 / /disk rw - fuseblk /dev/sdc1 rw
31 22 0:37 / /böse/- rw - btrfs /dev/sdd rw
"""


@pytest.fixture
def mounts(tmp_path, monkeypatch):
    """The system's list of mounts, as of another machine."""
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTS, encoding="utf-8")
    monkeypatch.setattr(places, "_MOUNTS", str(path))
    monkeypatch.setattr(os.path, "exists", lambda path: True)
    monkeypatch.setattr(os.path, "realpath", lambda path: str(path))
    return path


@pytest.mark.parametrize(
    "path, kind",
    [
        ("/", "ext4"),
        ("/database", "ext4"),
        ("/data", "nfs4"),
        ("/data/store", "nfs4"),
        ("/data/local/store", "xfs"),
        ("/data/locality", "nfs4"),
        ("/mnt/two words\ttab\\slash/store", "cifs"),
        ("/home/me/remote/a", "fuse.sshfs"),
        ("/home/me", "ext4"),
        ("/auto/x", "nfs"),
        ("/disk/x", "fuseblk"),
        ("/böse/-/x", "btrfs"),
    ],
)
def test_the_longest_and_latest_mount_counts(mounts, path, kind):
    assert places.filesystem_type(path) == kind


@pytest.mark.parametrize("path", ["/data/store", "/mnt/two words\ttab\\slash", "/home/me/remote", "/auto"])
def test_a_network_file_system_is_refused(mounts, path):
    with pytest.raises(NetworkFilesystemError, match="share one in PostgreSQL") as caught:
        places.check_local(path)
    assert path in str(caught.value)


@pytest.mark.parametrize("path", ["/", "/data/local/x", "/disk", "/böse/-"])
def test_a_local_one_is_taken(mounts, path):
    places.check_local(path)


NETWORK = (
    "nfs nfs4 cifs smb3 smbfs 9p ceph lustre beegfs gpfs afs ncpfs orangefs glusterfs fuse.sshfs fuse.glusterfs "
    "fuse.davfs fuse.s3fs fuse.rclone fuse.juicefs fuse.gcsfuse"
)
LOCAL = "ext2 ext3 ext4 xfs btrfs zfs f2fs tmpfs overlay fuseblk fuse.gocryptfs bcachefs"


@pytest.mark.parametrize("kind", NETWORK.split())
def test_each_kind_is_known(mounts, kind):
    mounts.write_text(f"22 1 0:21 / / rw - {kind} what rw\n")
    with pytest.raises(NetworkFilesystemError, match=re.escape(f"({kind})")):
        places.check_local("/x")


@pytest.mark.parametrize("kind", LOCAL.split())
def test_local_kinds_are_taken(mounts, kind):
    mounts.write_text(f"22 1 0:21 / / rw - {kind} what rw\n")
    places.check_local("/x")


def test_a_list_without_the_place_is_told(mounts):
    mounts.write_text("22 1 0:21 / /elsewhere rw - ext4 what rw\nnot a mount\n")
    with pytest.raises(StoreError, match="does not tell"):
        places.filesystem_type("/x")


def test_what_macos_prints():
    text = "/dev/disk3s1s1 on / (apfs, sealed)\n//me@server/a on b on /Volumes/a (b) (smbfs)\nmap on /net (autofs)\n"
    assert places._parse_mount(text) == [("/", "apfs"), ("b on /Volumes/a (b)", "smbfs"), ("/net", "autofs")]


def test_this_boot():
    assert re.fullmatch(r"[0-9a-f-]{36}", places.boot_id())
    assert places.boot_id() == places.boot_id()


@pytest.mark.parametrize("text", [None, "", "\n"])
def test_a_boot_that_is_not_told(monkeypatch, tmp_path, text):
    path = tmp_path / "boot_id"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(places, "_BOOT", str(path))
    with pytest.raises(StoreError, match="boot_id"):
        places.boot_id()


def test_this_machine(monkeypatch, tmp_path):
    assert places.machine_id() == places.machine_id() != ""
    path = tmp_path / "machine-id"
    monkeypatch.setattr(places, "_MACHINE", (str(tmp_path / "missing"), str(path)))
    path.write_text("0123456789abcdef0123456789abcdef\n")
    assert places.machine_id() == "0123456789abcdef0123456789abcdef"
    for text in ("", "uninitialized\n"):
        path.write_text(text)
        name = places.machine_id()
        assert name.startswith(f"{socket.gethostname()}/")
        assert name == places.machine_id()


def test_the_network_card_is_the_first_with_an_address(monkeypatch, tmp_path):
    for card, address in {
        "eth1": "02:00:00:00:00:0b",
        "eth0": "02:00:00:00:00:0a",
        "dummy": None,
        "lo": "00:00:00:00:00:00",
    }.items():
        (tmp_path / card).mkdir()
        if address:
            (tmp_path / card / "address").write_text(address + "\n")
    monkeypatch.setattr(places, "_NETWORK_CARDS", str(tmp_path))
    assert places._network_card() == "02000000000a"
    monkeypatch.setattr(places, "_NETWORK_CARDS", str(tmp_path / "lo"))
    assert places._network_card() == "none"
