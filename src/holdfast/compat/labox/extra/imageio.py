"""Images and what else ImageIO writes."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from mimetypes import MimeTypes
from typing import Any, ClassVar

from ....errors import DecodeError, InvalidArgumentError, MissingExtraError, UnsupportedValue
from ....payload import Payload
from ....storages.base import OCTETS
from ..core.own import OwnSerializer

try:
    from imageio import v3 as imageio
except ImportError as error:
    raise MissingExtraError('media are ImageIO\'s: pip install "holdfast[imageio]"') from error

__all__ = ["Media", "MediaSerializer", "media_serializer"]


@dataclass(frozen=True)
class Media:
    """Pixels, and in which format they are written: by an ending such as ``.png``, or a plugin of ImageIO's.

    Raises:
        InvalidArgumentError: both are given.
    """

    data: Any
    extension: str | None = None
    plugin: str | None = None

    def __post_init__(self) -> None:
        if self.extension and self.plugin:
            raise InvalidArgumentError("a Media has an extension or a plugin: give one or the other")


class MediaSerializer(OwnSerializer):
    """Media. What comes back is what the format keeps: of a JPEG, for one, not every pixel.

    Args:
        mimetypes: content types by ending.
    """

    name = "labox.imageio@v1"
    types: ClassVar[Any] = (Media,)
    content_types = (OCTETS,)

    def __init__(self, mimetypes: MimeTypes | None = None) -> None:
        self.mimetypes = mimetypes or MimeTypes()

    def serialize(self, value: Media) -> Payload:
        """Give what would be the file."""
        if not isinstance(value, Media):
            raise UnsupportedValue(f"{self.name} takes a Media, not {type(value).__name__}: Media(pixels, extension=…)")
        file = BytesIO()
        how: Any = {"extension": value.extension, "plugin": value.plugin}
        try:
            imageio.imwrite(file, value.data, **how)
        except (OSError, TypeError, ValueError, LookupError, ImportError) as error:
            raise UnsupportedValue(f"ImageIO cannot write this Media: {error}") from error
        kind, encoding = self.mimetypes.guess_type(f"_{value.extension}") if value.extension else (None, None)
        return Payload((file.getvalue(),), kind or OCTETS, encoding, how)

    def deserialize(self, payload: Payload) -> Media:
        """Read it."""
        try:
            how = {name: payload.config[name] for name in ("extension", "plugin")}
            return Media(imageio.imread(BytesIO(b"".join(payload.buffers)), **how), **how)
        except (OSError, SyntaxError, TypeError, ValueError, LookupError, ImportError) as error:
            raise DecodeError(f"these bytes are no {self.name}: {error}") from error


media_serializer = MediaSerializer()
"""The usual one."""
