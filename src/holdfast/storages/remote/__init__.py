"""What all storages on other machines share, whatever carries the bytes.

::

    medium.py    what a kind of place must be able to do: whole objects under names
    storage.py   RemoteStorage: the contract of a storage, on any medium
    writing.py   a stream into a new object
    writers.py   signs of life of writers, and what dead ones left
    together.py  several requests at once
"""

from __future__ import annotations

from .medium import Medium, Progress, Upload
from .storage import RemoteStorage
from .together import together

__all__ = ["Medium", "Progress", "RemoteStorage", "Upload", "together"]
