"""On real sources: pieces equal SentencePiece's, folds keep a document from judging itself, good text stays."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
import sentencepiece

from redwhale.core.recipe.perplexity import Perplexity, PerplexityShares
from redwhale.core.tasks import Workers
from redwhale.corpus.arrays import map_arrays
from redwhale.corpus.perplexity.model import MODEL_NAME, Model, train
from redwhale.corpus.perplexity.percentiles import thresholds
from redwhale.corpus.perplexity.pieces import BEGIN, END, WORD_CHARS
from redwhale.corpus.perplexity.sample import choose_parts, source_quotas, text_hash
from redwhale.corpus.texts import Texts

DATA = Path(os.environ.get("REDWHALE_TEST_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
NAMES = ("webnews", "wiki", "law", "cppdocs", "reviews")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DATA / "ko").is_dir(), reason=f"no real data in {DATA} (REDWHALE_TEST_DATA)"),
]


@pytest.fixture(scope="module")
def sources() -> dict[str, Texts]:
    found = {}
    for name in NAMES:
        with gzip.open(DATA / "ko" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            found[name] = Texts.of([json.loads(line)["text"] for line in file])
    return found


@pytest.fixture(scope="module")
def folder(sources: dict[str, Texts], tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    sizes = {name: len(texts.data) for name, texts in sources.items()}
    train(iter(sources.items()), Perplexity(), made, sizes=sizes, folds=2, workers=Workers(1))
    return made


def test_pieces_equal_those_of_sentencepiece(sources: dict[str, Texts], folder: Path) -> None:
    proto = map_arrays(folder / MODEL_NAME)["pieces"].tobytes()
    processor = sentencepiece.SentencePieceProcessor(model_proto=proto)
    pieces = Model.load(folder).pieces
    for texts in sources.values():
        strings = [text for text in texts.select(range(0, len(texts), 40)).strings() if "```" not in text]
        stream, offsets = pieces.cut(Texts.of(strings))
        for index, text in enumerate(strings):
            wanted: list[int] = []
            for line in text.encode().split(b"\n"):
                if words := [word.decode() for word in line.split()]:
                    assert max(map(len, words)) < WORD_CHARS
                    cut = processor.encode(words)
                    wanted += [BEGIN, *(piece for word in cut for piece in word), END]
            assert stream[offsets[index] : offsets[index + 1]].tolist() == wanted


def test_neither_the_sample_nor_the_fold_shifts_the_scores_and_good_text_stays(
    sources: dict[str, Texts], folder: Path
) -> None:
    model = Model.load(folder)
    sizes = {name: len(texts.data) for name, texts in sources.items()}
    chosen = choose_parts(iter(sources.items()), source_quotas(sizes, Perplexity().sample))
    for name, texts in sources.items():
        scores = model.score(texts)
        in_sample = {part.document for part in chosen[name]}
        inside = np.array([text_hash(texts.bytes_of(index)) in in_sample for index in range(len(texts))])
        folds = np.array([text_hash(texts.bytes_of(index)) % 2 for index in range(len(texts))])
        spread = float(np.nanstd(scores))
        # without folds documents of the sample stand 1.5 to 2.3 standard deviations lower
        assert abs(np.nanmean(scores[inside]) - np.nanmean(scores[~inside])) < 0.25 * spread, name
        assert abs(np.nanmean(scores[folds == 0]) - np.nanmean(scores[folds == 1])) < 0.4 * spread, name
        bounds = thresholds(scores, PerplexityShares())
        assert np.mean((scores < bounds.low) | (scores > bounds.high)) < 0.02, name
