"""What keys there are, read off the sections."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from redwhale.core.recipe.recipe import Recipe

Place = tuple[str, ...]
"""Keys that lead to a section; entries of a list have the list's."""


def section_in(annotation: Any) -> Any:
    """Return the section class inside ``Optional``, ``list`` or ``Annotated``, or None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, list, typing.Annotated):
        for argument in typing.get_args(annotation):
            if (inner := section_in(argument)) is not None:
                return inner
    return None


def annotation_at(place: Place) -> Any:
    """Return the type of the key that ``place`` leads to, None where the recipe has no such key."""
    model: Any = Recipe
    annotation: Any = Recipe
    for part in place:
        if model is None or part not in model.model_fields:
            return None
        annotation = model.model_fields[part].annotation
        model = section_in(annotation)
    return annotation


def known_keys(place: Place) -> list[str]:
    """Return the keys of the section that ``place`` leads to."""
    section = section_in(annotation_at(place))
    return list(section.model_fields) if section else []


def takes_null(place: Place) -> bool:
    """Tell whether the key that ``place`` leads to may be ``null``."""
    return types.NoneType in typing.get_args(annotation_at(place))


def places() -> Iterator[tuple[str, Place]]:
    """Yield every key of a recipe with the section that it stands in."""
    yield from _places(Recipe, ())


def _places(section: type[BaseModel], place: Place) -> Iterator[tuple[str, Place]]:
    for name, field in section.model_fields.items():
        yield name, place
        if (inner := section_in(field.annotation)) is not None:
            yield from _places(inner, (*place, name))


def name_of(place: Place) -> str:
    """Return a section's name as a sentence has it."""
    if not place:
        return "the top level"
    written = f"`{'.'.join(place)}`"
    return f"each entry of {written}" if typing.get_origin(annotation_at(place)) is list else written
