"""Say in what settings differ."""

from __future__ import annotations

from typing import Any


def field_differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Name every field that differs, as ``key: old -> new``."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted(old.keys() | new.keys())
            for line in field_differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [line for index, pair in pairs for line in field_differences(*pair, f"{path}.{index}")]
    return [] if old == new else [f"{path}: {old!r} -> {new!r}"]
