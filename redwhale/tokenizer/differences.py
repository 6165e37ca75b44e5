"""Count in what an adopted tokenizer falls short of the guarantees that our own extensions keep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from redwhale.tokenizer import check_texts
from redwhale.tokenizer.adopt import Adopted, as_written
from redwhale.tokenizer.base import JSON_NAME, MODEL_NAME, SENTENCEPIECE, BaseTokenizer, read_document, tokenizer_of
from redwhale.tokenizer.byte_alphabet import raw
from redwhale.tokenizer.characters import is_extra
from redwhale.tokenizer.compare import HeldOut
from redwhale.tokenizer.extend import LOWEST_SCORE
from redwhale.tokenizer.hangul import SPACE, byte_piece_length, has_hangul, text_piece_length
from redwhale.tokenizer.learn.sound import reachable
from redwhale.tokenizer.proto import normal_scores
from redwhale.tokenizer.verify import TEXT_CHARACTERS, differing, ids_of, specials_parsed_apart, transformers_agree

DIFFERENCES = {
    "old_scores_changed": "old pieces have another score or type in tokenizer.model",
    "old_merges_changed": "old merges are missing, new among old pieces, or in another order",
    "parts_changed": "parts of the tokenizer are not the base's",
    "matched_before_merging": "new tokens are not merged but found in text beforehand",
    "unreachable": "new pieces cannot be made by merging",
    "not_hangul": "new pieces are neither Hangul alone nor a sign",
    "texts_without_hangul_changed": "texts without Hangul have other tokens than in the base",
    "specials_parsed_otherwise": "texts around control tokens are cut otherwise where these are parsed",
    "no_round_trip": "texts do not come back from their tokens, though they do in the base",
    "sentencepiece_differs": "texts have other tokens by tokenizer.model than by tokenizer.json",
    "given_json_differs": "texts have other tokens by tokenizer.json as it was given, whose merges are mended here",
}
"""What is counted, and what it says behind the number."""
_PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")

Found = Sequence[object]


def find_differences(base: BaseTokenizer, adopted: Adopted, held_out: HeldOut) -> dict[str, Any]:
    """Return numbers of what was checked, and ``differences``: name → count and the first example.

    Every name of ``DIFFERENCES`` is there, with count 0 where all is as in our own extensions.
    """
    other = adopted.tokenizer
    old, new = base.tokenizer(), other.tokenizer()
    texts, spaced = _texts(base, adopted, held_out)
    plain = _without_new_characters(base, adopted, [*check_texts.english_and_code(), *texts])
    merged = [piece for piece in adopted.pieces if piece not in adopted.added]
    reached = set(reachable(other.document, merged))
    found: dict[str, Found] = {
        **_old_model_changes(base, other),
        "parts_changed": [part for part in _PARTS if other.document.get(part) != base.document.get(part)]
        + _changed_added_tokens(base, other),
        "matched_before_merging": [token for token, flags in adopted.added.items() if not flags["special"]],
        "unreachable": [piece for piece in merged if piece not in reached],
        "not_hangul": [piece for piece in merged if not _is_hangul_or_sign(base, piece)],
        "texts_without_hangul_changed": differing(plain, ids_of(old, plain), ids_of(new, plain)),
        "specials_parsed_otherwise": specials_parsed_apart(base, other.document)[1],
        "no_round_trip": _lost(old, new, texts),
        **_files_apart(base, other, new, texts + spaced),
    }
    return {
        "new_pieces": len(adopted.pieces),
        "special_tokens_added": [token for token, flags in adopted.added.items() if flags["special"]],
        "scores_not_below_old": _scores_not_below(base, other),
        "texts": len(texts + spaced),
        "texts_without_hangul": len(plain),
        "differences": {name: {"count": len(found[name]), "example": _example(found[name])} for name in DIFFERENCES},
    }


def check_written(adopted: Adopted, folder: Path, held_out: HeldOut) -> dict[str, Any]:
    """Check that the written folder loads with the adopted tokens: as tokenizer.json, by AutoTokenizer, saved again.

    Raises exit code 1 where it does not.
    """
    other = adopted.tokenizer
    texts, spaced = _texts(other, adopted, held_out)
    return transformers_agree(other, tokenizer_of(read_document(folder / JSON_NAME)), folder, texts + spaced)


def described(differences: dict[str, dict[str, Any]]) -> list[str]:
    """Return one line for each difference that occurs, with number and example."""
    return [
        f"{item['count']} {DIFFERENCES[name]}, such as {item['example']!r}"
        for name, item in differences.items()
        if item["count"]
    ]


def _example(found: Found) -> str | None:
    return None if not found else str(found[0])[:80]


def _texts(base: BaseTokenizer, adopted: Adopted, held_out: HeldOut) -> tuple[list[str], list[str]]:
    """Return the texts to check, and the same with a space in front and with doubled spaces."""
    texts = [text[:TEXT_CHARACTERS] for _, texts in held_out.values() for text in texts]
    surfaces = (_surface(base, piece) for piece in as_written(base, adopted))
    texts += [*check_texts.ADVERSARIAL, *check_texts.piece_chains([text for text in surfaces if text is not None])]
    return texts, [f" {text}" for text in texts] + [text.replace(" ", "  ") for text in texts]


def _surface(base: BaseTokenizer, piece: str) -> str | None:
    """Return the text of a piece, None where it is no whole characters."""
    if base.family == SENTENCEPIECE:
        return piece.replace(SPACE, " ")
    try:
        return (raw(piece) or b"\xff").decode()
    except UnicodeDecodeError:
        return None


def _is_hangul_or_sign(base: BaseTokenizer, piece: str) -> bool:
    length = text_piece_length(piece) if base.family == SENTENCEPIECE else byte_piece_length(raw(piece) or b"x")
    surface = _surface(base, piece)
    return bool(length) or (surface is not None and len(surface) == 1 and is_extra(surface))


def _without_new_characters(base: BaseTokenizer, adopted: Adopted, texts: Iterable[str]) -> list[str]:
    """Return texts and lines that hold no Hangul and no sign that is a new piece by itself."""
    surfaces = (_surface(base, piece) for piece in as_written(base, adopted))
    signs = {text for text in surfaces if text is not None and len(text) == 1 and is_extra(text)}
    whole = list(texts)
    lines = {line for text in whole for line in text.splitlines()}.union(whole)
    return sorted(line for line in lines if line and not has_hangul(line) and signs.isdisjoint(line))


def _old_model_changes(base: BaseTokenizer, other: BaseTokenizer) -> dict[str, Found]:
    """Compare scores where both have tokenizer.model, whose merges follow from them, else the merges."""
    if base.proto is not None and other.proto is not None:
        pairs = zip(base.proto.pieces, other.proto.pieces, strict=False)
        changed = [a.piece for a, b in pairs if (a.piece, a.score, a.type) != (b.piece, b.score, b.type)]
        return {"old_scores_changed": changed, "old_merges_changed": []}
    made = other.vocabulary.keys() - base.vocabulary.keys()
    kept = [tuple(m) for m in other.document["model"]["merges"] if made.isdisjoint((*m, m[0] + m[1]))]
    before = [tuple(merge) for merge in base.document["model"]["merges"]]
    moved = [a or b for a, b in zip_longest(before, kept) if a != b]
    return {"old_scores_changed": [], "old_merges_changed": sorted(set(kept) ^ set(before)) or moved}


def _changed_added_tokens(base: BaseTokenizer, other: BaseTokenizer) -> list[str]:
    tokens = {token["content"]: token for token in other.document["added_tokens"]}
    return [token["content"] for token in base.document["added_tokens"] if tokens.get(token["content"]) != token]


def _scores_not_below(base: BaseTokenizer, other: BaseTokenizer) -> int:
    """Return how many new pieces rank at or above the base's: all of them where every score is 0."""
    if base.proto is None or other.proto is None:
        return 0
    old, new = normal_scores(base.proto), normal_scores(other.proto)
    lowest = min(score for score in old.values() if score > LOWEST_SCORE)
    return sum(score >= lowest for piece, score in new.items() if piece not in old)


def _lost(old: Tokenizer, new: Tokenizer, texts: Sequence[str]) -> list[str]:
    """Return texts that decoding gives back in the base alone."""

    def comes_back(tokenizer: Tokenizer) -> Callable[[str, list[int]], bool]:
        return lambda text, ids: bool(tokenizer.decode(ids, skip_special_tokens=False) == text)

    failed = [text for text, ids in zip(texts, ids_of(new, texts), strict=True) if not comes_back(new)(text, ids)]
    return [text for text, ids in zip(failed, ids_of(old, failed), strict=True) if comes_back(old)(text, ids)]


def _files_apart(base: BaseTokenizer, other: BaseTokenizer, new: Tokenizer, texts: Sequence[str]) -> dict[str, Found]:
    """Compare the tokens of tokenizer.model, and of tokenizer.json as it was given, with those that will be used.

    Texts on which the base's own two files differ are passed over.
    """
    apart: dict[str, Found] = {"sentencepiece_differs": [], "given_json_differs": []}
    ids = ids_of(new, texts)
    given = other.folder / JSON_NAME
    if other.notes and given.is_file():
        apart["given_json_differs"] = differing(texts, ids, ids_of(tokenizer_of(read_document(given)), texts))
    if other.proto is not None:
        from sentencepiece import SentencePieceProcessor

        processor = SentencePieceProcessor(model_file=str(other.folder / MODEL_NAME))
        found = differing(texts, ids, processor.encode(texts))
        if base.proto is not None:
            before = SentencePieceProcessor(model_proto=base.proto.SerializeToString()).encode(found)
            fault = set(differing(found, before, ids_of(base.tokenizer(), found)))
            found = [text for text in found if text not in fault]
        apart["sentencepiece_differs"] = found
    return apart
