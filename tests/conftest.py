"""Settings for all tests."""

from __future__ import annotations

from hypothesis import settings

# The machine decides how long an example takes, so no example fails for its time; pytest-timeout watches the whole.
settings.register_profile("holdfast", deadline=None, print_blob=True)
settings.load_profile("holdfast")
