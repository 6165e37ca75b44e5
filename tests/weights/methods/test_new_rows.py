"""New rows by every method from a real tokenizer and a real little corpus, nothing written."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from safetensors.torch import load_file

from redwhale.core.recipe.init import Init, Initialisation
from redwhale.tokenizer.base import read_base
from redwhale.weights.methods.new_rows import NewTokens, mixtures, new_rows
from redwhale.weights.prepare import prepare
from tests.weights.makers import PIECES, extend, make_base, make_corpus, make_recipe

METHODS = get_args(Initialisation)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[NewTokens, dict[str, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("rows")
    base = make_base(folder)
    recipe = make_recipe(folder, base, corpus=make_corpus(folder), align_sample="1MB")
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    return prepare(recipe, recipe.init or Init()).tokens, load_file(base / "model.safetensors")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("matrix", "name"), [("embedding", "model.embed_tokens.weight"), ("head", "lm_head.weight")])
def test_every_method_gives_finite_different_rows_again_and_again(made, method, matrix, name: str) -> None:
    tokens, weights = made
    first = new_rows(weights[name], tokens, method=method, matrix=matrix)
    again = new_rows(weights[name], tokens, method=method, matrix=matrix)
    assert first.rows.shape == (5, 32) and first.rows.dtype == torch.float32
    assert bool(torch.isfinite(first.rows).all())
    assert torch.equal(first.rows, again.rows) and first.rows_with_noise == again.rows_with_noise
    assert len({tuple(row) for row in first.rows.tolist()}) == 5


def test_rows_by_hand(made) -> None:
    tokens, weights = made
    base = weights["lm_head.weight"]
    pieces = tokens.decomposition[0]  # ▁오늘: the space mark and six bytes
    assert len(pieces) == 7 and pieces[0] in tokens.spaces
    rows = {method: new_rows(base, tokens, method=method, matrix="head").rows[0] for method in METHODS}
    weights_of = torch.arange(7, 0, -1).unsqueeze(1)
    close = {
        "decompose-mean": base[pieces].mean(dim=0), "decompose-weighted": (base[pieces] * weights_of).sum(0) / 28,
        "first": base[pieces[0]], "first-nonspace": base[pieces[1]], "last": base[pieces[-1]], "mean": base.mean(dim=0),
        "multivariate": base.mean(dim=0), "align": base[pieces].mean(dim=0),
    }  # fmt: skip
    for method, expected in close.items():
        assert torch.allclose(rows[method], expected, atol=1e-3 if method == "multivariate" else 1e-4), method
    assert (rows["random"] - base.mean(dim=0)).norm() > 0.3 * base.norm(dim=1).median()


def test_embedding_and_head_weigh_positions_in_opposite_ways(made) -> None:
    tokens, _ = made
    (one,) = mixtures(tokens, method="decompose-weighted", matrix="embedding")[4:]
    (other,) = mixtures(tokens, method="decompose-weighted", matrix="head")[4:]
    assert sorted(one) == sorted(set(tokens.decomposition[4])) and sum(one.values()) == sum(other.values())
    assert one != other


def test_no_new_token_gives_no_row(made) -> None:
    tokens, weights = made
    import dataclasses

    none = dataclasses.replace(tokens, pieces=[], decomposition=[])
    for method in METHODS:
        assert new_rows(weights["lm_head.weight"], none, method=method, matrix="head").rows.shape == (0, 32)


def test_the_decomposition_is_verbatim_without_the_dummy_prefix(made) -> None:
    """Encoding `하` with the base's own pipeline puts a space mark before it, which is another word."""
    tokens, _ = made
    encoded = read_base(tokens.base).tokenizer().encode("하", add_special_tokens=False).ids
    assert encoded[0] in tokens.spaces and tokens.decomposition[3] == encoded[1:]


def test_seeds_change_only_what_is_drawn(made) -> None:
    import dataclasses

    tokens, weights = made
    other = dataclasses.replace(tokens, seed=1)
    base = weights["lm_head.weight"]
    for method in METHODS:
        one, two = (new_rows(base, t, method=method, matrix="head") for t in (tokens, other))
        drawn = method in ("random", "multivariate") or one.rows_with_noise
        assert torch.equal(one.rows, two.rows) is not bool(drawn), method
