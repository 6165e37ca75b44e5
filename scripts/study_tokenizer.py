"""Measure what the rules of train-tokenizer cost and give, and what tokenizers of other makers fall short of.

Text and split are those of bench_tokenizer.py. One JSON line a row:

- ``syllables``: tokens / tokens of Llama-3 with 8,000 new ones, syllables first (as by default) and without that rule;
- ``merges``: the same of an auxiliary's pieces as they come, whole words looked up (as Llama-3 does) and merged alone;
- ``trim``: pieces used 50 times or less in the text learnt from, and how many others cannot be made without them;
- ``morphemes``: boundaries and tokens with 18,900 new tokens for Llama-2, learnt without and with Kiwi as a guide;
- ``small``: the curve of sizes for a body of 2M weights, d 64;
- ``adopt``: a SentencePiece model's pieces appended to Llama-2, with score 0 and with scores below the old ones.

    python scripts/study_tokenizer.py DATA OUT [--rows syllables,merges,trim,morphemes,small,adopt]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent))
from bench_tokenizer import EVERYTHING, QUIET, count_tokens, held_out_of, print_curve, sources_of, split

from redwhale.core.publish import write_bytes
from redwhale.core.recipe.tokenizer import Tokenizer as Settings
from redwhale.tokenizer.adopt import read_adopted
from redwhale.tokenizer.base import MODEL_NAME, BaseTokenizer, read_base, tokenizer_of
from redwhale.tokenizer.compare import compare
from redwhale.tokenizer.differences import find_differences
from redwhale.tokenizer.extend import extended_document, extended_proto
from redwhale.tokenizer.learn import auxiliary, continued
from redwhale.tokenizer.learn.sample import Sample, read_sample
from redwhale.tokenizer.learn.sound import reachable
from redwhale.tokenizer.measure.encoder import of_tokenizer
from redwhale.tokenizer.measure.tally import Tally
from redwhale.tokenizer.size import Shape

RARE_USES = 50
FEW_DOCUMENTS = 60
APPENDED = 32_000
_BATCH = 1000


def main() -> None:
    """Print the rows asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", default="syllables,merges,trim,morphemes,small,adopt")
    arguments = parser.parse_args()
    folder = split(arguments.data / "ko", arguments.out / "split")
    llama2, llama3 = (read_base(arguments.data / "tokenizers" / name) for name in ("llama2", "llama3-tiktoken"))
    for row in arguments.rows.split(","):
        if row == "syllables":
            print_syllables(llama3, folder)
        elif row == "merges":
            print_merges_alone(llama3, folder)
        elif row == "trim":
            print_trimmed("Llama-3", llama3, folder, count=8000)
            print_trimmed("Llama-2", llama2, folder, count=18_900)
        elif row == "morphemes":
            print_morphemes(llama2, folder)
        elif row == "small":
            print_curve(llama2, "llama2", folder, Shape(body=2_000_000, d=64, tied=False, rows=llama2.tokens))
        elif row == "adopt":
            print_adopted(llama2, folder, arguments.out)
        else:
            parser.error(f"no row is called {row}")


def say(row: str, **figures: object) -> None:
    """Print one row."""
    print(json.dumps({"row": row} | figures), flush=True)


def sample_for(base: BaseTokenizer, folder: Path) -> Sample:
    """Read all text to learn from."""
    return read_sample(sources_of(folder), base, sample_bytes=EVERYTHING)


def ratio(base: BaseTokenizer, document: dict[str, Any], folder: Path) -> float:
    """Return tokens of a tokenizer.json / tokens of the base on the held-out text."""
    held_out = held_out_of(folder)
    counts = (sum(count_tokens(one, held_out).values()) for one in (document, base.document))
    return round(next(counts) / next(counts), 4)


def print_syllables(base: BaseTokenizer, folder: Path) -> None:
    """Learn with and without syllables first."""
    sample = sample_for(base, folder)
    for coverage in (Settings().syllable_coverage, 0.0):
        settings = Settings(syllable_coverage=coverage)
        learned = continued.learn(base, sample, settings, count=8000, console=QUIET)
        document = extended_document(base, learned.pieces)
        say("syllables", coverage=coverage, first=learned.syllables, ratio=ratio(base, document, folder))


def print_merges_alone(base: BaseTokenizer, folder: Path) -> None:
    """Use an auxiliary's pieces as they come, looked up as whole words and not."""
    pieces = auxiliary.candidates(base, sample_for(base, folder), Settings(), count=8000)[:8000]
    document = extended_document(base, pieces)
    for lookup in (True, False):
        other = document | {"model": document["model"] | {"ignore_merges": lookup}}
        say("merges", words_looked_up=lookup, ratio=ratio(base, other, folder))


def print_trimmed(name: str, base: BaseTokenizer, folder: Path, *, count: int) -> None:
    """Drop the pieces that the text learnt from rarely uses, and count what cannot be made any more."""
    sample = sample_for(base, folder)
    pieces = continued.learn(base, sample, Settings(), count=count, console=QUIET).pieces
    tally = Tally([of_tokenizer(tokenizer_of(extended_document(base, pieces)))])
    for source in sources_of(folder):
        for batch in pq.ParquetFile(source.train_files[0]).iter_batches(_BATCH, columns=["text"]):
            tally.count(batch.column(0).to_pylist())
    uses = tally.uses[0][base.tokens : base.tokens + len(pieces)]
    kept = [piece for piece, used in zip(pieces, uses, strict=True) if used > RARE_USES]
    lost = len(kept) - len(reachable(extended_document(base, kept), kept))
    say("trim", base=name, dropped=len(pieces) - len(kept), others_unreachable=lost)


def print_morphemes(base: BaseTokenizer, folder: Path) -> None:
    """Learn without and with morphemes and compare the boundaries on the first documents of each source."""
    sample = sample_for(base, folder)
    few = {name: (language, texts[:FEW_DOCUMENTS]) for name, (language, texts) in held_out_of(folder).items()}
    for guided in (False, True):
        learned = continued.learn(base, sample, Settings(morphemes=guided), count=18_900, console=QUIET)
        found = compare(base, tokenizer_of(extended_document(base, learned.pieces)), few)["languages"]["ko"]
        kept, precision = (found["new"][f"morpheme_boundar{end}"] for end in ("ies_kept", "y_precision"))
        say("morphemes", guided=guided, boundaries_kept=kept, precision=precision, ratio=found["ratio"])


def print_adopted(base: BaseTokenizer, folder: Path, out: Path) -> None:
    """Append pieces as Chinese-LLaMA's script does (score 0), and with falling scores; count the differences."""
    pieces = pieces_of_sentencepiece(base, folder)
    held_out = held_out_of(folder)
    for scores in ("zero", "falling"):
        proto = extended_proto(base, pieces)
        for piece in proto.pieces[base.tokens :] if scores == "zero" else ():
            piece.score = 0.0
        theirs = out / f"appended-{scores}"
        theirs.mkdir(parents=True, exist_ok=True)
        write_bytes(theirs / MODEL_NAME, proto.SerializeToString())
        report = find_differences(base, read_adopted(base, theirs), held_out)
        counts = {name: item["count"] for name, item in report["differences"].items() if item["count"]}
        say("adopt", scores=scores, new=len(pieces), texts=report["texts_without_hangul"], **counts)


def pieces_of_sentencepiece(base: BaseTokenizer, folder: Path) -> Sequence[str]:
    """Train SentencePiece on the text as it is, and return its pieces that the base lacks."""
    import io

    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

    texts = (
        line
        for source in sources_of(folder)
        for batch in pq.ParquetFile(source.train_files[0]).iter_batches(_BATCH, columns=["text"])
        for text in batch.column(0).to_pylist()
        for line in text.splitlines()
    )
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=texts, model_writer=model, vocab_size=APPENDED, model_type="bpe", character_coverage=0.9995,
        normalization_rule_name="identity", num_threads=2, minloglevel=2,
    )  # fmt: skip
    processor = SentencePieceProcessor(model_proto=model.getvalue())
    every = (i for i in range(len(processor)) if not (processor.is_control(i) or processor.is_unknown(i)))
    return [piece for i in every if (piece := processor.id_to_piece(i)) not in base.vocabulary]


if __name__ == "__main__":
    main()
