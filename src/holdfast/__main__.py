"""``python -m holdfast`` is the command ``holdfast``."""

from __future__ import annotations

from .cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
