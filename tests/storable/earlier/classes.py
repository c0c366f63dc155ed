"""Classes as an earlier version of a program had them. What they wrote lies beside; only :mod:`.make` imports them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from holdfast import StorableDataclass
from holdfast.storable.pydantic import StorableModel

__all__ = ["Measurement", "Settings", "Simulation"]


@dataclass
class Measurement(StorableDataclass, class_id="e0000001"):
    """One of many in a simulation."""

    place: str
    values: Any = None


class Settings(StorableModel, class_id="e0000002"):
    """What a simulation was told."""

    steps: int
    solver: str = "fast"


@dataclass
class Simulation(StorableDataclass, class_id="e0000003"):
    """A simulation with what came of it."""

    speed: float
    unit: str
    frame: pd.DataFrame
    settings: Settings
    small: pd.DataFrame | None = None
    measurements: list[Measurement] = field(default_factory=list)
    log: Iterator[Any] | None = field(default=None, metadata={"stream_serializer": "holdfast.json-lines@v1"})
