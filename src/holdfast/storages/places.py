"""Where a store is: this boot, this machine, and the kind of file system under a folder."""

from __future__ import annotations

import os
import re
import sys

from ..errors import NetworkFilesystemError, StoreError

__all__ = ["boot_id", "check_local", "filesystem_type", "host_id", "machine_id"]

_BOOT = "/proc/sys/kernel/random/boot_id"
_MACHINE = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_NETWORK_CARDS = "/sys/class/net"
_MOUNTS = "/proc/self/mountinfo"
_OCTAL = re.compile(r"\\([0-7]{3})")
_MOUNT_LINE = re.compile(r"^.+? on (?P<point>.+) \((?P<kind>[^,)]+)[,)]", re.MULTILINE)

# Several machines reach these, and locks and shared memory maps, on which SQLite's WAL and our own writers' locks
# rest, do not hold between them. File systems in user space are named "fuse.<which>".
_SHARED = """
    9p acfs afpfs afs beegfs ceph cifs coda davfs gfs gfs2 glusterfs gpfs ibrix lustre ncp ncpfs nfs nfs3 nfs4 ocfs2
    orangefs panfs pvfs2 smb2 smb3 smbfs vboxsf vmhgfs webdav
"""
_SHARED_IN_USER_SPACE = """
    beegfs blobfuse blobfuse2 ceph ceph-fuse cephfs curlftpfs davfs davfs2 gcsfuse geesefs glusterfs goofys gvfsd-fuse
    hdfs juicefs lizardfs mfs moosefs mount-s3 mountpoint-s3 nfs orangefs rclone s3fs seaweedfs smbnetfs sshfs
    vmhgfs-fuse weed
"""
_REFUSED = frozenset(_SHARED.split()) | {f"fuse.{which}" for which in _SHARED_IN_USER_SPACE.split()}


def boot_id() -> str:
    """A name of the time since this machine was started: another one after each start, the same for all processes.

    Raises:
        StoreError: the system does not tell.
    """
    if sys.platform == "darwin":
        return _sysctl("kern.bootsessionuuid") or _sysctl("kern.boottime") or _untold("sysctl kern.boottime")
    try:
        with open(_BOOT, encoding="ascii") as file:
            return file.read().strip() or _untold(_BOOT)
    except OSError as error:
        raise StoreError(
            f"{_BOOT} could not be read, which tells this start of the machine from others: {error}"
        ) from error


def _untold(source: str) -> str:
    raise StoreError(f"{source} is empty, which should tell this start of the machine from others")


def _sysctl(name: str) -> str:
    import subprocess  # 4 ms that Linux does not need

    done = subprocess.run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def machine_id() -> str:
    """A name of this machine (or container) that stays over its starts; the host's name and network card where the
    system keeps no such name."""
    for path in _MACHINE:
        try:
            with open(path, encoding="ascii") as file:
                name = file.read().strip()
        except (OSError, UnicodeDecodeError):
            continue  # not there: the next source is asked
        if re.fullmatch(r"[0-9a-f]{32}", name):  # "uninitialized", or empty, in images of containers
            return name
    return f"{os.uname().nodename}/{_network_card()}"


def host_id() -> str:
    """:func:`machine_id` and the host's name: machines that were made of one image may have the same id, and who takes
    one for an earlier start of another would take what lasts there for ended."""
    return f"{machine_id()}/{os.uname().nodename}"


def _network_card() -> str:
    """The first hardware address that is not of a loopback."""
    try:
        cards = sorted(os.listdir(_NETWORK_CARDS))
    except OSError:
        from uuid import getnode

        return f"{getnode():012x}"
    for card in cards:
        try:
            with open(f"{_NETWORK_CARDS}/{card}/address", encoding="ascii") as file:
                address = file.read().strip()
        except OSError:
            continue  # a card without an address
        if address.strip("0:"):
            return address.replace(":", "")
    return "none"


def filesystem_type(path: str | os.PathLike[str]) -> str:
    """The kind of file system that a path is on or would be made on, as the system names it (``ext4``, ``nfs4``,
    ``fuse.sshfs``).

    Raises:
        StoreError: the system does not tell.
    """
    place = os.path.realpath(path)
    while not os.path.exists(place) and place != "/":  # this also wakes a place that is mounted when it is used
        place = os.path.dirname(place)
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            mounts = _parse_mountinfo(file.read())
    except FileNotFoundError:
        mounts = _parse_mount(_mount())
    except OSError as error:
        raise StoreError(f"{_MOUNTS} could not be read, which tells the file systems: {error}") from error
    best, found = "", ""
    for point, kind in mounts:
        inside = point == "/" or place == point or place.startswith(point + "/")
        if inside and len(point) >= len(best):  # the later of two on one place is the one that is seen
            best, found = point, kind
    if not found:
        raise StoreError(f"the system does not tell which file system {place} is on")
    return found


def _parse_mountinfo(text: str) -> list[tuple[str, str]]:
    """Places and kinds, in the order they were mounted, of Linux' list."""
    mounts = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")[0]
        if len(fields) >= 5 and kind:
            mounts.append((_OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[4]), kind))
    return mounts


def _mount() -> str:
    import subprocess

    try:
        return subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise StoreError(f"the file systems could not be listed: {error}") from error


def _parse_mount(text: str) -> list[tuple[str, str]]:
    """Places and kinds of what ``mount`` prints on macOS."""
    return [(found["point"], found["kind"]) for found in _MOUNT_LINE.finditer(text)]


def check_local(path: str | os.PathLike[str]) -> None:
    """Refuse a path that several machines may reach.

    Raises:
        NetworkFilesystemError: it is on such a file system.
    """
    kind = filesystem_type(path)
    if kind in _REFUSED:
        raise NetworkFilesystemError(
            f"{os.fspath(path)} is on a network file system ({kind}), where file locks do not hold between machines: "
            "put the store on a local disk. Several machines share one in PostgreSQL, as in "
            "holdfast.open('postgresql://...', storage='s3://...')"
        )
