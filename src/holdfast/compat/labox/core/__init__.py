"""Labox' core: components, the registry, saving and loading."""

from __future__ import annotations

from .api.loader import DataLoader, load_one, new_loader
from .api.saver import DataSaver, new_saver, save_one
from .database import BaseRecord, ContentRecord, ManifestRecord
from .registry import Registry
from .serializer import SerializedData, SerializedDataStream, Serializer, StreamSerializer
from .storage import Digest, GetStreamDigest, Storage, StreamDigest
from .unpacker import UnpackedValue, UnpackedValueStream, Unpacker

__all__ = [
    "BaseRecord", "ContentRecord", "DataLoader", "DataSaver", "Digest", "GetStreamDigest", "ManifestRecord", "Registry",
    "SerializedData", "SerializedDataStream", "Serializer", "Storage", "StreamDigest", "StreamSerializer",
    "UnpackedValue", "UnpackedValueStream", "Unpacker", "load_one", "new_loader", "new_saver", "save_one",
]  # fmt: skip

_INTERNAL = ("component", "own", "own_storage", "session")  # modules that labox does not have
