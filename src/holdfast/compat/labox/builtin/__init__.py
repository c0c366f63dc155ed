"""Components that come with labox."""

from __future__ import annotations

from . import serializers, storables, storages
from .serializers import *  # noqa: F403  each is public, and named there
from .storables import *  # noqa: F403
from .storages import *  # noqa: F403

__all__ = []
__all__ += serializers.__all__
__all__ += storables.__all__
__all__ += storages.__all__
