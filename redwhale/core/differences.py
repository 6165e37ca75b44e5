"""Say in what settings and inputs differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redwhale.core.artifact import InputRecord


def differences(
    old_fields: dict[str, Any], fields: dict[str, Any], old_inputs: list[InputRecord], inputs: list[InputRecord]
) -> list[str]:
    """Name every field and input that differs, or the algorithm where none does."""
    found = field_differences(old_fields, fields)
    before = {r.role: r.digest for r in old_inputs}
    after = {r.role: r.digest for r in inputs}
    for role in sorted(before.keys() | after.keys()):
        if before.get(role) != after.get(role):
            state = "new" if role not in before else "gone" if role not in after else "changed"
            found.append(f"input {role} {state}")
    return found or ["the step's algorithm"]


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
