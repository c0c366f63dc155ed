"""``holdfast://`` in fsspec: pandas, Dask, pyarrow, zarr and others read and write a store by address."""

from __future__ import annotations

from ..errors import MissingExtraError

try:
    import fsspec as _fsspec  # noqa: F401
except ImportError as _error:
    raise MissingExtraError('holdfast:// needs fsspec: pip install "holdfast[fsspec]"') from _error

from .system import HoldfastFileSystem

__all__ = ["HoldfastFileSystem"]
