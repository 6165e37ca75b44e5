"""Write recipes as people read them: commented, complete, and with the origin of each value."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from pydantic import BaseModel

from redwhale.core.recipe.recipe import Recipe
from redwhale.core.recipe.yaml_lines import CAPITALS, KeyPath, scalar

_WIDTH = 110


def render_commented(recipe: Recipe, written: dict[str, Any], remarks: dict[str, str]) -> str:
    """Return a complete recipe: every key with its documentation, and ``remarks`` beside chosen values.

    ``written`` keeps sizes as people write them (``2B``) where the preset did; ``remarks`` maps key
    paths such as ``pretrain.sequence_length`` to a short word on where the choice comes from.
    """
    lines: list[str] = []
    _section(lines, recipe, written, prefix="", indent=0, remarks=remarks)
    return "\n".join(lines).strip() + "\n"


def _section(
    lines: list[str], model: BaseModel, written: Any, *, prefix: str, indent: int, remarks: dict[str, str]
) -> None:
    pad = " " * indent
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        given = written.get(name) if isinstance(written, dict) else None
        if value is None and given is None and name in ("existing", "revision"):
            continue
        path = f"{prefix}.{name}" if prefix else name
        if indent == 0 and isinstance(value, BaseModel):
            lines.append("")
        if field.description:
            lines += textwrap.wrap(
                " ".join(field.description.split()), _WIDTH, initial_indent=f"{pad}# ",
                subsequent_indent=f"{pad}# ", break_on_hyphens=False,
            )  # fmt: skip
        remark = f"  # {remarks[path]}" if path in remarks else ""
        if isinstance(value, BaseModel):
            lines.append(f"{pad}{name}:{remark}")
            _section(lines, value, given, prefix=path, indent=indent + 2, remarks=remarks)
        elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
            lines.append(f"{pad}{name}:{remark}")
            for index, item in enumerate(value):
                shown = given[index] if isinstance(given, list) else _without_defaults(item)
                note = remarks.get(f"{path}.{index}")
                lines.append(f"{pad}  - {flow(shown)}" + (f"  # {note}" if note else ""))
        else:
            shown = given if given is not None else _plain(value)
            lines.append(f"{pad}{name}: {flow(shown)}{remark}")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _without_defaults(model: BaseModel) -> Any:
    return model.model_dump(mode="json", exclude_defaults=True)


def flow(value: Any) -> str:
    """Return a value in YAML's flow style; text is quoted only where plain text would mean something else."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(str(key))}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        return repr(value).replace("e-0", "e-")
    return _text(value) if isinstance(value, str) else str(value)


def _text(text: str) -> str:
    plain = text and text == text.strip() and not set(text) & set("{}[],&*#?|<>=!%@`\"'\\\n") and ": " not in text
    if (
        plain
        and text not in CAPITALS
        and not text.startswith(("-", ":"))
        and not text.endswith(":")
        and scalar(text) == text
    ):
        return text
    if plain is False and text.endswith("%") and text[:-1].replace(".", "", 1).isdigit():
        return text
    return json.dumps(text, ensure_ascii=False)


def render_resolved(recipe: Recipe, origins: dict[KeyPath, str] | None) -> str:
    """Return every value of a recipe as YAML; with ``origins`` each line says where it came from."""
    lines: list[str] = []
    _resolved(lines, recipe.model_dump(mode="json"), (), indent=0, origins=origins)
    return "\n".join(lines) + "\n"


def _resolved(lines: list[str], value: Any, path: KeyPath, *, indent: int, origins: dict[KeyPath, str] | None) -> None:
    pad = " " * indent
    items: list[tuple[str | int, Any]] = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    for key, item in items:
        here = (*path, key)
        label = f"{pad}- " if isinstance(value, list) else f"{pad}{key}: "
        if isinstance(item, (dict, list)) and item and not _is_flat(item):
            lines.append(label.rstrip() if isinstance(value, dict) else f"{pad}-")
            _resolved(lines, item, here, indent=indent + 2, origins=origins)
            continue
        text = f"{label}{flow(item)}"
        lines.append(f"{text}  # {_origin(here, origins)}" if origins is not None else text)


def origins_by_key(recipe: Recipe, origins: dict[KeyPath, str]) -> dict[str, str]:
    """Return where every value of a resolved recipe came from, by dotted key."""
    found: dict[str, str] = {}

    def walk(value: Any, path: KeyPath) -> None:
        if isinstance(value, (dict, list)) and value and not _is_flat(value):
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                walk(item, (*path, key))
        else:
            found[".".join(map(str, path))] = _origin(path, origins)

    walk(recipe.model_dump(mode="json"), ())
    return found


def _is_flat(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(item, (dict, list)) for item in value)


def _origin(path: KeyPath, origins: dict[KeyPath, str]) -> str:
    return origins.get(path) or "default"
