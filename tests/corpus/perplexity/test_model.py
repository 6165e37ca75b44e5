"""Training is deterministic, a document never scores itself, and odd text scores higher than plain text."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.perplexity import Perplexity
from redwhale.core.tasks import Workers
from redwhale.corpus.perplexity import model as module
from redwhale.corpus.perplexity.model import ABOUT_NAME, JUDGED_BYTES, MODEL_NAME, Model, train
from redwhale.corpus.perplexity.pieces import prose_bytes
from redwhale.corpus.perplexity.sample import folds_of
from redwhale.corpus.texts import Texts
from tests.corpus.perplexity.makers import document

DOCUMENTS = [document(seed) for seed in range(200)]
SIZES = {"news": sum(len(text.encode()) for text in DOCUMENTS)}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VOCABULARY", 420)


def chunks(documents: list[str], size: int) -> Iterator[tuple[str, Texts]]:
    for start in range(0, len(documents), size):
        yield "news", Texts.of(documents[start : start + size])


def trained(folder: Path, *, folds: int = 2, size: int = 50, documents: list[str] = DOCUMENTS) -> Model:
    train(chunks(documents, size), Perplexity(), folder, sizes=SIZES, folds=folds, workers=Workers(1))
    return Model.load(folder)


def test_the_same_texts_give_the_same_bytes(tmp_path: Path) -> None:
    trained(tmp_path / "a")
    trained(tmp_path / "b", size=3, documents=DOCUMENTS[::-1])
    for name in (MODEL_NAME, ABOUT_NAME):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    about = json.loads((tmp_path / "a" / ABOUT_NAME).read_text())
    assert sum(fold["documents"] for fold in about["folds"]) == 200
    assert about["sample_bytes"] == SIZES


def test_a_text_is_scored_by_the_fold_that_has_not_seen_it(tmp_path: Path) -> None:
    model = trained(tmp_path)
    texts = Texts.of(DOCUMENTS[:20])
    folds = folds_of(texts, 2)
    stream, offsets = model.pieces.cut(texts)
    by_table = np.zeros((2, 20))
    for number, tables in enumerate(model.tables):
        tables.add_scores(stream, offsets, np.ones(20, bool), by_table[number])
    unseen = by_table[1 - folds, np.arange(20)]
    assert model.score(texts) == pytest.approx(-unseen / np.log10(2) / prose_bytes(texts), rel=1e-6)
    assert (by_table[folds, np.arange(20)] > unseen).mean() > 0.9  # having seen a text would have flattered it


def test_one_fold_is_a_model_of_everything(tmp_path: Path) -> None:
    assert len(trained(tmp_path, folds=1).tables) == 1


def test_scores_do_not_depend_on_the_chunk(tmp_path: Path) -> None:
    model = trained(tmp_path)
    alone = [model.score(Texts.of([text]))[0] for text in DOCUMENTS[:8]]
    assert model.score(Texts.of(DOCUMENTS[:8])).tolist() == alone


def test_noise_scores_higher_and_repetition_lower_than_plain_text(tmp_path: Path) -> None:
    model = trained(tmp_path)
    plain = document(999)
    letters = [letter for letter in plain if letter != "\n"]
    random.Random(0).shuffle(letters)
    repeated = "\n".join([plain.split("\n")[1]] * 12)
    usual, noise, foreign = model.score(Texts.of([plain, "".join(letters), "Съешь ещё этих мягких булок " * 9]))
    assert noise > 1.5 * usual and foreign > 1.5 * usual
    assert model.score(Texts.of([repeated]))[0] < usual + 0.1


def test_bits_per_byte_by_hand() -> None:
    scores = module.bits_per_byte(np.array([-30.103, -30.103, -1.0]), np.array([200, 1000, JUDGED_BYTES - 1]))
    assert scores[:2] == pytest.approx([0.5, 0.1], rel=1e-4)
    assert np.isnan(scores[2]) and scores.dtype == np.float32


def test_short_and_empty_texts_are_not_judged(tmp_path: Path) -> None:
    model = trained(tmp_path)
    long_code = "```\n" + "print(1)\n" * 99 + "```"
    assert np.isnan(model.score(Texts.of(["", "짧은 글", long_code]))).all()
    assert model.score(Texts.of([])).shape == (0,)


def test_a_cut_file_is_said(tmp_path: Path) -> None:
    trained(tmp_path)
    path = tmp_path / MODEL_NAME
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(RedwhaleError, match="the file is damaged"):
        Model.load(tmp_path)


def test_too_little_text_is_said(tmp_path: Path) -> None:
    with pytest.raises(RedwhaleError, match="a sample of 2 different words"):
        train(chunks(["한 줄"], 1), Perplexity(), tmp_path, sizes={"news": 9}, folds=2, workers=Workers(1))
