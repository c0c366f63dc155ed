"""A private copy-on-write map of a file that holds no file descriptor.

``mmap.mmap`` keeps a duplicate of the descriptor until Python 3.13, so that a thousand mapped values would use up the
usual limit of open files; before that the C library's own ``mmap`` is called.
"""

from __future__ import annotations

import mmap
import sys

__all__ = ["map_private"]

if sys.version_info >= (3, 13):

    def map_private(fd: int, size: int) -> memoryview:
        """The first ``size`` bytes of an open file, at least one and at most as many as it has, writable for this
        process alone. ``fd`` may be closed. OSError as it comes."""
        return memoryview(mmap.mmap(fd, size, access=mmap.ACCESS_COPY, trackfd=False))

else:
    import ctypes
    import os
    import weakref
    from functools import cache

    @cache
    def _library() -> ctypes.CDLL:
        library = ctypes.CDLL(None, use_errno=True)
        library.mmap.restype = ctypes.c_void_p
        library.mmap.argtypes = (
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_long,
        )
        library.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
        return library

    def map_private(fd: int, size: int) -> memoryview:
        """The first ``size`` bytes of an open file, at least one and at most as many as it has, writable for this
        process alone. ``fd`` may be closed. OSError as it comes."""
        library = _library()
        address = library.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE, fd, 0)
        if address == ctypes.c_void_p(-1).value:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        region = (ctypes.c_char * size).from_address(address)
        # The array is what every view of the map refers to, however it was made. Not at exit: views may live longer.
        weakref.finalize(region, library.munmap, address, size).atexit = False
        return memoryview(region).cast("B")
