"""Memory that the processes of one machine and user share, with no server: mapped files in ``/dev/shm``.

::

    storage.py   LocalMemory: the contract, verb by verb
    place.py     where it is, how much it may keep, and whether that folder can be trusted
    session.py   begun by the first process that attaches, ended with the last
    writers.py   each writer's folder and mark; what dead writers left
    segments.py  a piece of memory that is written: new or recycled, and kept mapped by who writes it
    copying.py   large buffers at once, while other threads run
    room.py      what all segments take together, and what makes room for more
    eviction.py  which segments make room
    writing.py   a value on its way: published whole, or gone
    reading.py   views and copies, under a lock that keeps a segment as it is
    locks.py     flock, and what a fork does to it

In the folder of a store::

    gate              locked while somebody attaches, ends, or asks who lives
    living            each attached process holds a shared lock on it
    session           the name of the session's folder
    <session>/room    bytes of all segments; locked to change that, and to look for writers
    <session>/free/<capacity>/<inode>     to be written again
    <session>/gone/<capacity>/<inode>     deleted while somebody read it
    <session>/<writer>/lock               locked by its writer while that lives
    <session>/<writer>/new-<number>       being written, under an exclusive lock
    <session>/<writer>/<number>-<length>[-<start>]  a value, read under shared locks

A segment is a file that goes from one of these names to the other. Each use has a name that no other use has, and
only who has the exclusive lock of the file writes to it, after it took the name away. So a reader who has the shared
lock, and then still finds the file under its name, has the bytes that were put.
"""

from __future__ import annotations

from .storage import LocalMemory

__all__ = ["LocalMemory"]
