"""Plotly's figures."""

from __future__ import annotations

from typing import TypedDict

from plotly import graph_objects as go

from ....serializers.plotly import PlotlySerializer
from ..core.own import NativeSerializer, passed_over

__all__ = ["FigureDumpArgs", "FigureLoadArgs", "FigureSerializer", "figure_serializer"]


class FigureDumpArgs(TypedDict, total=False):
    """Options of ``plotly.io.to_json``."""

    engine: str | None
    pretty: bool
    remove_uids: bool
    validate: bool


class FigureLoadArgs(TypedDict, total=False):
    """Options of ``plotly.io.from_json``."""

    engine: str | None
    skip_invalid: bool


class FigureSerializer(NativeSerializer):
    """Figures, which come back as they were.

    Args:
        dump_args: those about the text, which are not heeded.
        load_args: the same.

    Raises:
        InvalidArgumentError: others, as ``remove_uids`` or ``skip_invalid``: they would change what comes back.
    """

    name = "labox.plotly.value@v1"
    native = PlotlySerializer()
    types = (go.Figure,)
    content_types = PlotlySerializer.content_types

    def __init__(self, *, dump_args: FigureDumpArgs | None = None, load_args: FigureLoadArgs | None = None) -> None:
        passed_over(self, dump_args, ("engine", "pretty", "validate"), off=("remove_uids",))
        passed_over(self, load_args, ("engine",), off=("skip_invalid",))


figure_serializer = FigureSerializer()
"""The usual one."""
