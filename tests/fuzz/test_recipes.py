"""Fuzzing of the recipe loader: whatever the text, a recipe or all its faults, in under a second."""

from pathlib import Path

import pytest
from hypothesis import strategies as st

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.load import load_with_origins
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.recipe.render import render_resolved
from tests.fuzz.campaign import CHANGES, Bounds, Case, changed, fuzz
from tests.workspace import RECIPE

CONFIGS = [path.read_bytes() for path in sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))]
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.integers(-(10**30), 10**30), st.floats(),
        st.sampled_from(["2B", "-1k", "0.1%", "101%", "all", "odd", "", "on", "1e-4", "../x", "~", "\x00", "가",
                         "9" * 5000]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=2)),
    max_leaves=4,
)  # fmt: skip
KEYS = sorted(Recipe.model_fields)
PARTS = [
    "{", "}", "[", "]", ":", ": ", ",", "\n", "  ", "- ", "&a ", "*a", "!!str ", "!!python/name:os.system ", "<<: ",
    "? ", "|\n", ">-\n", "'", '"', "#", "%YAML 9\n", "---\n", "...\n", "\t", "\u2028", "\ufeff", "[" * 500,
    "{a: " * 400, "9" * 5000, "~", *(f"{key}: " for key in KEYS), "stages", "train", "layers", "sources", "name",
]  # fmt: skip


def lines_changed(text: bytes, places: list[float], values: list[object]) -> bytes:
    """Put made-up values behind the keys of some lines."""
    lines = text.decode().splitlines()
    for place, value in zip(places, values, strict=False):
        index = int(place * len(lines))
        key, colon, _ = lines[index].partition(":")
        lines[index] = f"{key}{colon or ':'} {value if isinstance(value, str) else repr(value)}"
    return "\n".join(lines).encode("utf-8", "surrogatepass")


TEXTS = st.sampled_from([RECIPE.encode(), RECIPE.encode(), *CONFIGS])
PLACES = st.lists(st.floats(0, 1, exclude_max=True), max_size=4)
INPUTS = st.one_of(
    st.builds(changed, TEXTS, CHANGES),
    st.builds(lines_changed, TEXTS, PLACES, st.lists(VALUES, max_size=4)),
    st.lists(st.sampled_from(PARTS), max_size=30).map(lambda parts: "".join(parts).encode()),
)  # fmt: skip


@pytest.mark.fuzz
@pytest.mark.slow
@pytest.mark.promise("Z1")
def test_a_recipe_is_loaded_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "redwhale.yaml"

    def check(case: Case) -> None:
        file.write_bytes(case.data)
        with Bounds(seconds=1, megabytes=128):
            try:
                recipe, origins = load_with_origins(file)
            except RedwhaleError as error:
                for fault in (error, *error.others):
                    assert fault.exit_code == USAGE and str(fault).startswith(str(file)) and "\n" not in str(fault)
                return
        assert render_resolved(recipe, origins)

    fuzz("recipes", st.builds(Case, st.just("redwhale.yaml"), INPUTS), check)
