"""Methods compared before one is used: on real tiny models, before training and after a little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from redwhale import chain
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.init import Init, pair_of
from redwhale.core.recipe.recipe import Recipe
from redwhale.measure.models import load_model
from redwhale.tokenizer import step as tokenizer
from redwhale.weights import comparison
from tests import pico
from tests.tokenizer.makers import QUIET, recipe, small_texts, write_corpus

METHODS = ["decompose-mean", "mean", "decompose-mean/mean"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    write_corpus(folder / "corpus", small_texts())
    for name, tied in (("untied", False), ("tied", True)):
        base = pico.make_spm_base(folder / name)
        pico.make_llama(base, rows=600, layers=2, tied=tied)
    tokenizer.run(recipe(folder, folder / "untied", new_tokens=40), console=QUIET)
    return folder


def _recipe(root: Path, out: Path, base: str = "untied", *, train: bool = False, **init: Any) -> Recipe:
    shared = {"preprocess": {"existing": str(root / "corpus")}, "tokenizer": {"existing": str(root / "tokenizer")}}
    stage = {"name": "rows", "train": {"embedding": "all"}, "tokens": 64, "learning_rate": 0.01}
    pretrain = {"sequence_length": 32, "batch_tokens": 64, "precision": "fp32", "deepspeed": None, "stages": [stage]}
    return Recipe.model_validate({
        "version": 1, "workdir": str(out), "base": {"model": str(root / base)}, **shared, "init": init,
        "machine": {"device": "cpu"}, "pretrain": pretrain if train else None,
    })  # fmt: skip


@pytest.mark.parametrize("added", [None, {"count": 1, "how": "repeat"}, {"count": 1, "how": "identity"}])
def test_model_0_takes_the_best_and_gives_the_very_bits_that_were_measured(
    root: Path, tmp_path: Path, added: dict[str, Any] | None
) -> None:
    compare = {"methods": METHODS, "documents": 4}
    wanted = _recipe(root, tmp_path, method="best", compare=compare, add_layers=added)
    with pytest.raises(RedwhaleError, match="comparison"):  # not before it is made
        comparison.best(wanted)
    manifest = chain.init_model(wanted, console=QUIET, fresh=False, verify=False)
    compared = comparison.run(wanted, console=QUIET)
    rows = compared.metrics["rows"]
    assert [(row["embedding"], row["head"]) for row in rows] == [
        ("decompose-mean", "decompose-mean"), ("mean", "mean"), ("decompose-mean", "mean"),
    ]  # fmt: skip
    best = min(rows, key=lambda row: row["steps"]["0"]["ko"])
    assert compared.metrics["best"] == best
    assert (manifest.fields["embedding"], manifest.fields["head"]) == (best["embedding"], best["head"])
    assert "compare" not in manifest.fields and "method" not in manifest.fields
    # The rows that were tried in memory are those that were written.
    made = load_model(wanted.model_0_folder, torch.device("cpu"))
    trial = comparison._Trial(wanted, *_job(wanted))
    trial._model = made
    assert comparison._pooled(trial._bits()) == best["steps"]["0"]
    assert set(compared.metrics["base"]) == {"ko", "en"}


def _job(wanted: Recipe) -> tuple[Any, Any]:
    from redwhale.corpus.reader import held_out_texts
    from redwhale.weights.prepare import prepare

    return prepare(wanted, wanted.need("init")), held_out_texts(wanted.corpus_folder, documents=4)


def test_padding_rows_leak_what_they_leak_in_the_model_that_is_written(root: Path, tmp_path: Path) -> None:
    compare = {"methods": ["decompose-mean"], "documents": 4}
    wanted = _recipe(root, tmp_path, method="best", compare=compare, pad_rows_to=4096)
    row = comparison.run(wanted, console=QUIET).metrics["best"]
    made = chain.init_model(wanted, console=QUIET, fresh=False, verify=False)
    assert made.counts["padding_rows"] > 3000
    assert row["leak"]["mean"] == pytest.approx(made.metrics["leak"]["mean"], rel=1e-4)


def test_what_was_measured_is_not_measured_again(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = _recipe(root, tmp_path, compare={"methods": METHODS, "documents": 2})
    calls: list[comparison.Pair] = []
    measure = comparison._Trial.measure

    def failing(trial: comparison._Trial, pair: comparison.Pair) -> dict[str, Any]:
        calls.append(pair)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measure(trial, pair)

    monkeypatch.setattr(comparison._Trial, "measure", failing)
    with pytest.raises(KeyboardInterrupt):
        comparison.run(wanted, console=QUIET)
    manifest = comparison.run(wanted, console=QUIET)
    assert calls[2:] == [("decompose-mean", "mean")] * 2
    assert manifest.counts["methods"] == 3


def test_each_method_is_trained_for_the_same_steps_and_nothing_is_left_behind(root: Path, tmp_path: Path) -> None:
    settings = {"methods": METHODS[:2], "documents": 2, "steps": 8, "measure_every_steps": 4}
    manifest = chain.compare_init(
        _recipe(root, tmp_path, train=True, compare=settings), console=QUIET, fresh=False, verify=False
    )
    for row in manifest.metrics["rows"]:
        assert list(row["steps"]) == ["0", "4", "8"]
        assert row["steps"]["8"]["ko"] < row["steps"]["0"]["ko"]
    assert not list((tmp_path / "init-comparison").glob("*+*"))  # the models that were trained
    assert (tmp_path / "tokens" / "manifest.json").is_file()  # packed once, for all


def test_of_a_tied_model_the_embedding_s_method_counts(root: Path, tmp_path: Path) -> None:
    manifest = comparison.run(_recipe(root, tmp_path, "tied", compare={"methods": METHODS}), console=QUIET)
    pairs = [(row["embedding"], row["head"]) for row in manifest.metrics["rows"]]
    assert pairs == [("decompose-mean", "decompose-mean"), ("mean", "mean")]


def test_methods_are_words_pairs_and_names() -> None:
    assert pair_of("mean") == ("mean", "mean")
    assert pair_of("last/first") == ("last", "first")
    assert pair_of("eeve") == ("decompose-mean", "first")
    with pytest.raises(ValueError, match="'men' is no method"):
        pair_of("men/first")
    assert Init.model_validate({"compare": True}).compare is not None
    assert Init.model_validate({"compare": False}).compare is None
    with pytest.raises(ValueError, match="`method: best` takes what `compare` finds"):
        Init.model_validate({"method": "best"})
    with pytest.raises(ValueError, match="`method: best` takes what `compare` finds"):
        Init.model_validate({"method": "best", "compare": True, "head": "mean"})
