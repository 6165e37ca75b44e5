"""Compare the `fineweb2-ko` filters with datatrove's, and `redwhale-web` with both, on mixed Korean documents.

    python scripts/compare_fineweb2.py --data DATA --peer /path/to/python-with-datatrove-and-kiwipiepy --out FOLDER

Every document goes through datatrove's GopherRepetition, FineWebQuality and GopherQuality filters with FineWeb-2's
kor_Hang settings, in the peer's Python, and through ours: once with the peer's morphemes, so that only the rules
differ, and once with the Kiwi installed here. Prints one JSON line a row; the folder keeps what the peer said, which
takes minutes, and is used again.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

SOURCES = {"webnews": 0.3, "reviews": 0.3, "cppdocs": 0.2, "wiki": 0.15, "law": 0.05}
REASONS = {
    "dup_line_frac": "max_dup_line_frac",
    **{f"top_{n}_gram": f"max_top_{n}_gram" for n in range(2, 5)},
    **{f"duplicated_{n}_n_grams": f"max_dup_{n}_gram" for n in range(5, 11)},
    "line_punct_ratio": "min_line_punct",
    "char_dup_ratio": "max_char_dup",
    "list_ratio": "max_new_lines",
    "gopher_short_doc": "min_words",
    "gopher_long_doc": "max_words",
    "gopher_below_avg_threshold": "min_mean_word",
    "gopher_above_avg_threshold": "max_mean_word",
    "gopher_too_many_hashes": "max_hashes",
    "gopher_too_many_ellipsis": "max_ellipses",
    "gopher_too_many_bullets": "max_bullet_lines",
    "gopher_too_many_end_ellipsis": "max_ellipsis_lines",
    "gopher_below_alpha_threshold": "min_alpha_words",
    "gopher_enough_stop_words": "min_stop_words",
}


def main() -> None:
    """Sample documents, ask both sides, print what they say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with ko/*.jsonl.gz")
    parser.add_argument("--peer", help="Python with datatrove and kiwipiepy")
    parser.add_argument("--out", type=Path, help="folder for what the peer said")
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--as-peer", nargs=2, metavar=("DOCUMENTS", "ANSWERS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_peer:
        answer_as_peer(*map(Path, options.as_peer))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    name = f"{options.documents}-{options.seed}"
    documents, answers = options.out / f"documents-{name}.jsonl", options.out / f"answers-{name}.jsonl"
    if not answers.is_file():
        sampled = sample(options.data, options.documents, options.seed)
        documents.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in sampled), encoding="utf-8")
        partial = answers.with_suffix(".partial")
        subprocess.run([options.peer, __file__, "--as-peer", str(documents), str(partial)], check=True)
        partial.rename(answers)
    compare(*([json.loads(line) for line in file.open(encoding="utf-8")] for file in (documents, answers)))


def sample(data: Path, documents: int, seed: int) -> list[dict[str, str]]:
    """Return normalised documents of all sources: `id`, `source` and `text`."""
    from redwhale.corpus.clean.normalize import normalize

    rows = []
    for source, share in SOURCES.items():
        with gzip.open(data / "ko" / f"{source}.jsonl.gz", "rt", encoding="utf-8") as file:
            found = [json.loads(line) for line in file]
        for row in random.Random(seed).sample(found, round(share * documents)):
            rows.append({"id": row["id"], "source": source, "text": normalize(row["text"])})
    return [row for row in rows if row["text"]]


def compare(documents: list[dict[str, str]], answers: list[dict[str, Any]]) -> None:
    """Print per-rule counts of both sides and the documents on which they differ."""
    import numpy as np

    from redwhale.corpus.filters.morphemes import stripped

    theirs = [REASONS.get(answer["reason"], answer["reason"]) for answer in answers]
    spans = [
        stripped(row["text"], [tuple(span) for span in answer["spans"]])
        for row, answer in zip(documents, answers, strict=True)
    ]
    same_words = ours(documents, "fineweb2-ko", spans)
    own_words = ours(documents, "fineweb2-ko")
    web = ours(documents, "redwhale-web")
    for rule in REASONS.values():
        counts = [sum(reason == rule for reason in side) for side in (theirs, same_words, own_words)]
        if any(counts):
            print_row(rule=rule, datatrove=counts[0], same_morphemes=counts[1], own_kiwi=counts[2])
    for row, their, same, own in zip(documents, theirs, same_words, own_words, strict=True):
        if their != same or their != own:
            print_row(id=row["id"], datatrove=their, same_morphemes=same, own_kiwi=own)
    agreement = Counter(zip((t is None for t in theirs), (w is None for w in web), strict=True))
    print_row(
        documents=len(documents),
        same_morphemes_equal=float(np.mean([a == b for a, b in zip(theirs, same_words, strict=True)])),
        own_kiwi_equal=float(np.mean([a == b for a, b in zip(theirs, own_words, strict=True)])),
        both_keep=agreement[True, True],
        only_fineweb2_keeps=agreement[True, False],
        only_web_keeps=agreement[False, True],
        both_drop=agreement[False, False],
        web=dict(Counter(reason for reason in web if reason)),
    )
    for source in SOURCES:
        rows = zip(theirs, web, documents, strict=True)
        kept = [(their is None, own is None) for their, own, row in rows if row["source"] == source]
        print_row(
            source=source,
            documents=len(kept),
            fineweb2_keeps=sum(their for their, _ in kept),
            web_keeps=sum(own for _, own in kept),
            agree=float(np.mean([their == own for their, own in kept])),
        )


def ours(documents: list[dict[str, str]], preset: str, spans: Any = None) -> list[str | None]:
    """Return the name of the rule that drops each document, or None."""
    import numpy as np

    from redwhale.core.recipe.filters import Filters
    from redwhale.corpus.filters.measure import Extra, measure
    from redwhale.corpus.filters.verdict import RULES, judge
    from redwhale.corpus.texts import Texts

    texts = Texts.of([row["text"] for row in documents])
    nothing = np.zeros(len(texts), dtype=np.int64)
    limits = Filters.model_validate({"preset": preset})
    measures = measure(texts, extra=Extra(nothing, nothing, nothing), limits=limits, language="ko", morphemes=spans)
    verdicts = judge(measures, limits, "ko")
    return [RULES[place] if place >= 0 else None for place in verdicts.reason]


def answer_as_peer(documents: Path, answers: Path) -> None:
    """Run datatrove's filters on each document; write the first reason and the spans of its morphemes."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    language = "kor_Hang"
    stop_words = [*"의다이는에을한년하은를했고가있인월로되", "에서", "으로"]
    filters = (
        GopherRepetitionFilter(
            language=language, dup_para_frac=0, dup_line_char_frac=0, dup_para_char_frac=0, dup_line_frac=0.374,
            top_n_grams=((2, 0.282), (3, 0.228), (4, 0.185)),
            dup_n_grams=((5, 0.201), (6, 0.184), (7, 0.168), (8, 0.154), (9, 0.14), (10, 0.127)),
        ),
        FineWebQualityFilter(
            language=language, short_line_thr=999, char_duplicates_ratio=0.1, line_punct_thr=0.062, new_line_ratio=0.196
        ),
        GopherQualityFilter(
            language=language, min_avg_word_length=1, max_avg_word_length=6, max_non_alpha_words_ratio=0.791,
            min_stop_words=2, stop_words=stop_words,
        ),
    )  # fmt: skip
    words = load_word_tokenizer(language)
    kiwi = Recorder(words.tokenizer)
    words._tokenizer = kiwi  # the only way to learn where its words stand
    with documents.open(encoding="utf-8") as read, answers.open("w", encoding="utf-8") as write:
        for number, line in enumerate(read):
            row = json.loads(line)
            kiwi.spans = []
            results = [each.filter(Document(text=row["text"], id=row["id"])) for each in filters]
            reason = next((result[1] for result in results if result is not True), None)
            write.write(json.dumps({"id": row["id"], "reason": reason, "spans": kiwi.spans}) + "\n")
            if number % 100 == 0:
                print(number, file=sys.stderr, flush=True)


class Recorder:
    """Kiwi that keeps the spans of what it tokenised last."""

    def __init__(self, kiwi: Any) -> None:
        self.kiwi = kiwi
        self.spans: list[tuple[int, int]] = []

    def tokenize(self, text: str) -> Any:
        """Tokenise as Kiwi does."""
        tokens = self.kiwi.tokenize(text)
        self.spans = [(token.start, token.end) for token in tokens]
        return tokens


def print_row(**row: Any) -> None:
    """Print one JSON line."""
    print(json.dumps(row, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
