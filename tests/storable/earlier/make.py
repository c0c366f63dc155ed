"""Make the store that an earlier version of a program wrote: ``python -m tests.storable.earlier.make``."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

import holdfast
from tests.golden.make import _as_if_from_elsewhere
from tests.storable.earlier.classes import Measurement, Settings, Simulation

STORE = Path(__file__).with_name("store")


def main() -> None:
    """Write it anew."""
    shutil.rmtree(STORE, ignore_errors=True)
    with holdfast.open(STORE) as store:
        scope = store.namespace("prod").workflow("forecast")
        scope.put(
            "simulation",
            Simulation(
                speed=2.5,
                unit="m/s",
                frame=pd.DataFrame({"x": np.arange(6000), "y": np.arange(6000) / 4}),
                settings=Settings(steps=12),
                small=pd.DataFrame({"a": [1, 2]}),
                measurements=[Measurement(place="here", values=np.arange(5000)), Measurement(place="there")],
                log=iter([{"step": n} for n in range(3)]),
            ),
        )
        scope.put("settings", Settings(steps=3, solver="exact"))
        store.gc()
    _as_if_from_elsewhere(STORE)


if __name__ == "__main__":
    main()
