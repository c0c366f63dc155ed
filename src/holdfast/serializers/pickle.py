"""Any Python object, by cloudpickle. Its bytes are a program: a store signs them, and loads them only if signed."""

from __future__ import annotations

import pickle
from typing import Any, ClassVar

from ..errors import DecodeError, EncodeError, HoldfastError, SignatureError
from ..payload import OUT_OF_BAND, Buffer, Payload
from .base import Serializer

__all__ = ["PickleSerializer"]

_CONTENT_TYPE = "application/x-python-pickle"
_MAX_LOOKS = 1000  # objects looked at to find the part that cannot be pickled


class PickleSerializer(Serializer):
    """What no other serializer takes. Classes and functions of ``__main__`` travel by value, others by reference."""

    name: ClassVar[str] = "holdfast.pickle@v1"
    types: ClassVar[tuple[str, ...]] = ()
    content_types: ClassVar[tuple[str, ...]] = (_CONTENT_TYPE,)
    executable: ClassVar[bool] = True

    def serialize(self, value: Any) -> Payload:
        """Pickle (protocol 5); contiguous buffers of at least 64 KB go out of band.

        Raises:
            EncodeError: naming the type that cannot be pickled and, when it is found, the path to it.
        """
        buffers: list[Buffer] = []

        def in_band(buffer: pickle.PickleBuffer) -> bool:
            try:
                raw = buffer.raw()
            except BufferError:  # not contiguous
                return True
            if len(raw) < OUT_OF_BAND:
                return True
            buffers.append(raw)
            return False

        try:
            return Payload((_dump(value, in_band), *buffers), _CONTENT_TYPE)
        except HoldfastError:
            raise
        except RecursionError:
            raise EncodeError(f"this {_name(value)} is nested too deeply to be pickled") from None
        except Exception as error:
            if isinstance(error.__cause__, RecursionError):  # as cloudpickle reports it
                raise EncodeError(f"this {_name(value)} is nested too deeply to be pickled") from None
            path, culprit = _culprit(value)
            raise EncodeError(
                f"cannot pickle {path}, a {_name(culprit)}: {str(error) or type(error).__name__}"
            ) from error

    def deserialize(self, payload: Payload) -> Any:
        """Load the pickle, which runs what it says.

        Raises:
            SignatureError: the payload is not trusted.
            DecodeError: the pickle fails; a module or name that is not here is named.
        """
        if not payload.trusted:
            raise SignatureError(
                "loading this value would run code, and its record has no valid signature of this store; "
                "if you trust whoever wrote it, read it with trust=True"
            )
        if not payload.buffers:
            raise DecodeError("a pickle without bytes")
        try:
            return pickle.loads(payload.buffers[0], buffers=payload.buffers[1:])
        except (HoldfastError, MemoryError):
            raise
        except ModuleNotFoundError as error:
            raise DecodeError(f"loading this value needs the module {error.name}, which is missing here") from error
        except (ImportError, AttributeError) as error:
            raise DecodeError(f"loading this value needs a name that is not here: {error}") from error
        except Exception as error:
            raise DecodeError(f"loading this value failed: {type(error).__name__}: {error}") from error


def _dump(value: Any, buffer_callback: Any = None) -> bytes:
    import cloudpickle  # imports much, and most stores never meet a value that needs it

    data: bytes = cloudpickle.dumps(value, protocol=5, buffer_callback=buffer_callback)
    return data


def _name(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def _culprit(value: Any) -> tuple[str, Any]:
    """The deepest part of the value that cannot be pickled alone, and the path to it."""
    path, item = "value", value
    seen = {id(value)}
    while True:
        for step, child in _parts(item):
            if id(child) in seen or len(seen) > _MAX_LOOKS:
                continue
            seen.add(id(child))
            if not _fails(child):
                continue
            path, item = path + step, child
            break
        else:
            return path, item


def _fails(value: Any) -> bool:
    if type(value) in (str, bytes, int, float, bool, type(None)):
        return False
    try:
        _dump(value, lambda buffer: False)
    except Exception:  # what the caller already reports, found again in a smaller part
        return True
    return False


def _parts(item: Any) -> list[tuple[str, Any]]:
    if isinstance(item, dict):
        return [(f"[{ascii(key)[:60]}]", child) for key, child in item.items()]
    if isinstance(item, (list, tuple)):
        return [(f"[{index}]", child) for index, child in enumerate(item)]
    if isinstance(item, (set, frozenset)):
        return [(" (an item)", child) for child in item]
    state = getattr(item, "__dict__", None)
    if isinstance(state, dict) and not isinstance(item, type):
        return [(f".{name}", child) for name, child in state.items()]
    return []
