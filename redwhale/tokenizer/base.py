"""Read a base tokenizer and tell its family; refuse those that cannot be extended exactly."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.tokenizer import proto as sentencepiece_proto
from redwhale.tokenizer import rank_file
from redwhale.tokenizer.byte_alphabet import BYTE_CHARACTERS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from redwhale.tokenizer.proto import ModelProto

SENTENCEPIECE, BYTE_LEVEL = "sentencepiece-bpe", "byte-level-bpe"
JSON_NAME, MODEL_NAME, CONFIG_NAME = "tokenizer.json", "tokenizer.model", "tokenizer_config.json"
OTHER_NAMES = ("special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "chat_template.json")
_SPECIAL_ROLES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
_REFUSED = {
    "Unigram": "chooses pieces by probability over the whole word; a new piece would change old text",
    "WordPiece": "takes the longest piece from the left; a new piece would change old text",
    "WordLevel": "has whole words only",
}


@dataclass(frozen=True)
class BaseTokenizer:
    """A base tokenizer as used: ``document`` is its tokenizer.json, mended where SentencePiece says otherwise.

    ``proto`` is the SentencePiece model where there is one, ``special`` maps roles (``eos_token``) to tokens,
    ``notes`` say what was mended; ``left_out`` are added tokens for which the model has no row.
    """

    folder: Path
    family: str
    document: dict[str, Any]
    proto: ModelProto | None
    config: dict[str, Any]
    special: dict[str, str]
    notes: tuple[str, ...]
    left_out: tuple[dict[str, Any], ...]

    @property
    def vocabulary(self) -> dict[str, int]:
        """Return piece → id, without added tokens that stand outside the model."""
        vocabulary: dict[str, int] = self.document["model"]["vocab"]
        return vocabulary

    @cached_property
    def tokens(self) -> int:
        """Return the last used id + 1, added tokens included: the first id for a new token."""
        added = [token["id"] for token in self.document["added_tokens"]]
        return max(max(self.vocabulary.values()), *added, -1) + 1

    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer with special parsing off."""
        return tokenizer_of(self.document)


def tokenizer_of(document: dict[str, Any], *, merges_only: bool = False) -> Tokenizer:
    """Return a tokenizer with special parsing off; ``merges_only`` looks no whole word up (``ignore_merges``)."""
    from tokenizers import Tokenizer

    if merges_only and document["model"].get("ignore_merges"):
        document = document | {"model": document["model"] | {"ignore_merges": False}}
    tokenizer = Tokenizer.from_str(json.dumps(document))
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def tokenizer_files(folder: Path) -> list[Path]:
    """List the files that decide what the tokenizer of ``folder`` is."""
    names = [JSON_NAME, MODEL_NAME, CONFIG_NAME, *OTHER_NAMES]
    files = [folder / name for name in names if (folder / name).is_file()]
    ranks = rank_file.find_rank_file(folder) if not (folder / JSON_NAME).is_file() else None
    return files if ranks is None or ranks in files else [*files, ranks]


def read_base(folder: Path) -> BaseTokenizer:
    """Read and classify the tokenizer of ``folder``; raise exit code 2 where it cannot be extended."""
    json_path, model_path = folder / JSON_NAME, folder / MODEL_NAME
    config = _read_json(folder / CONFIG_NAME)
    document = read_document(json_path) if json_path.is_file() else None
    proto: ModelProto | None = None
    notes: list[str] = []
    if model_path.is_file() and not rank_file.is_rank_file(model_path):
        proto = sentencepiece_proto.read_proto(model_path)
        lacking = _merged_only_in_json(proto, document)
        if lacking:
            notes = [f"tokenizer.model lacks {lacking} pieces of tokenizer.json, which is used alone"]
            proto = None
        else:
            document, notes = sentencepiece_proto.agreeing_document(proto, document, where=model_path)
    elif document is None and (ranks := rank_file.find_rank_file(folder)) is not None:
        document, model = rank_file.read_rank_document(ranks)
        notes = [f"tokenizer.json made from the rank file {ranks.name} with {model}'s pattern and special tokens"]
    if document is None:
        raise RedwhaleError(
            "there is no tokenizer.json or tokenizer.model",
            where=str(folder),
            fix="save the base's tokenizer there with AutoTokenizer(...).save_pretrained",
            exit_code=USAGE,
        )
    family = SENTENCEPIECE if proto is not None else _family(document, json_path)
    document, left_out = _without_rowless_tokens(document, model_rows(folder))
    if left_out:
        names = ", ".join(token["content"] for token in left_out[:3])
        notes.append(f"{len(left_out)} added tokens for which the model has no row are left out ({names})")
    return BaseTokenizer(
        folder,
        family,
        document,
        proto,
        config=config,
        special=_special_tokens(folder, config, document, proto),
        notes=tuple(notes),
        left_out=tuple(left_out),
    )


def model_rows(folder: Path) -> int | None:
    """Return the embedding rows that the model's config.json names; None where there is no model."""
    config = _read_json(folder / "config.json")
    rows = config.get("vocab_size") or (config.get("text_config") or {}).get("vocab_size")
    return int(rows) if rows else None


def token_content(value: Any) -> str | None:
    """Return the text of a token as configurations write it: plain, or with its flags."""
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) else None


def _without_rowless_tokens(document: dict[str, Any], rows: int | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    left_out = [token for token in document["added_tokens"] if rows is not None and token["id"] >= rows]
    kept = [token for token in document["added_tokens"] if token not in left_out]
    return document | {"added_tokens": kept}, left_out


def read_document(path: Path) -> dict[str, Any]:
    """Read tokenizer.json, merges as pairs; raise exit code 2 where it is not plain byte-pair encoding."""
    document = _read_json(path)
    _refuse_other_models(document, path)
    return _with_merge_pairs(document)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RedwhaleError(
            f"the file is damaged ({error})", where=str(path), fix="fetch the base's tokenizer again", exit_code=USAGE
        ) from None
    if not isinstance(value, dict):
        raise RedwhaleError(
            "the file holds no JSON object", where=str(path), fix="fetch the base's tokenizer again", exit_code=USAGE
        )
    return value


def _merged_only_in_json(proto: ModelProto, document: dict[str, Any] | None) -> int:
    """Return how many pieces a tokenizer.json merges that its tokenizer.model lacks: one of them was not extended."""
    if document is None:
        return 0
    made = {left + right for left, right in document["model"]["merges"]}
    return len(made.difference(piece.piece for piece in proto.pieces))


def _refuse_other_models(document: dict[str, Any], path: Path) -> None:
    model = document.get("model") or {}
    kind = model.get("type") or ("BPE" if "merges" in model else "Unigram" if "unk_id" in model else "unknown")
    if kind != "BPE":
        reason = _REFUSED.get(kind, "is not known")
        raise RedwhaleError(
            f"the base tokenizer is {kind}, which {reason}",
            where=str(path),
            fix="choose a base with byte-pair encoding (Llama, Mistral, SOLAR, Qwen, GPT-2)",
            exit_code=USAGE,
        )
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            raise RedwhaleError(
                f"byte-pair encoding with {key} {model[key]!r} cannot be extended",
                where=f"{path}: model.{key}",
                fix="choose a base without it (Llama, Mistral, SOLAR, Qwen, GPT-2 have none)",
                exit_code=USAGE,
            )


def _with_merge_pairs(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with merges as pairs (older files write them with a space between)."""
    document = copy.copy(document)
    model = dict(document["model"], type="BPE")
    model["merges"] = [m.split(" ", 1) if isinstance(m, str) else list(m) for m in model["merges"]]
    document["model"] = model
    document["added_tokens"] = document.get("added_tokens") or []
    return document


def _types(part: dict[str, Any] | None) -> set[str]:
    """Return the types named in a normaliser, pre-tokenizer or decoder, those inside sequences too."""
    if not part:
        return set()
    inner = part.get("normalizers") or part.get("pretokenizers") or part.get("decoders") or []
    return {part["type"]}.union(*(_types(item) for item in inner))


def _family(document: dict[str, Any], path: Path) -> str:
    """Tell the family of a tokenizer.json that stands alone; raise exit code 2 where it would drop text."""
    vocabulary = document["model"]["vocab"]
    if "ByteLevel" in _types(document.get("pre_tokenizer")):
        missing = [byte for byte, character in BYTE_CHARACTERS.items() if character not in vocabulary]
        if not missing:
            return BYTE_LEVEL
        reason = f"lacks {len(missing)} of the 256 bytes"
    elif document["model"].get("byte_fallback"):
        missing = [byte for byte in range(256) if f"<0x{byte:02X}>" not in vocabulary]
        if not missing:
            return SENTENCEPIECE
        reason = f"lacks {len(missing)} of the 256 byte pieces"
    else:
        reason = "has neither byte fallback nor byte-level pieces"
    raise RedwhaleError(
        f"the base tokenizer {reason}, so it would drop text",
        where=str(path),
        fix="choose a base with byte fallback or byte-level BPE",
        exit_code=USAGE,
    )


def _special_tokens(
    folder: Path, config: dict[str, Any], document: dict[str, Any], proto: ModelProto | None
) -> dict[str, str]:
    """Find the tokens of each role: as the base's files say, else as the model or its only special token says."""
    special = sentencepiece_proto.special_tokens(proto) if proto is not None else {}
    contents = [token["content"] for token in document["added_tokens"] if token["special"]]
    if proto is None and "<|begin_of_text|>" in contents:
        special = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}
    elif proto is None and contents == ["<|endoftext|>"]:
        special = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    elif proto is None and contents[:2] == ["<|endoftext|>", "<|im_start|>"]:  # Qwen begins no text with a token
        special = {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    elif proto is None and {"<s>", "</s>"} <= set(contents):
        special = {"bos_token": "<s>", "eos_token": "</s>"}
    for source in (_read_json(folder / "special_tokens_map.json"), config):
        for role in _SPECIAL_ROLES:
            content = token_content(source.get(role))
            if content is not None:
                special[role] = content
    known = document["model"]["vocab"].keys() | {token["content"] for token in document["added_tokens"]}
    return {role: token for role, token in special.items() if token in known}
