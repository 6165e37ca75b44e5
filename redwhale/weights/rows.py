"""Which rows of embedding and head hold what, and what the tokenizer step added."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redwhale.core.errors import USAGE, RedwhaleError

EXTENSION_NAME, ROWS_NAME = "extension.json", "rows.json"
# Known bases have at most 2,400 rows of padding (DeepSeek: 100,002 tokens, 102,400 rows).
_MOST_PADDING_ROWS, _MOST_PADDING_SHARE = 1024, 0.05


@dataclass(frozen=True)
class RowLayout:
    """Which rows hold what: base tokens, then new tokens, then padding.

    ``base_tokens`` ids have a token in the base tokenizer, ``base_rows`` rows stand in the base
    (more where it is padded), ``rows`` stand in the model to be made.
    """

    base_tokens: int
    base_rows: int
    new_tokens: int
    rows: int

    @property
    def known_rows(self) -> int:
        """Return the base tokens that have a row in the base: ids from 0 on."""
        return min(self.base_tokens, self.base_rows)

    @property
    def rowless_tokens(self) -> int:
        """Return the added tokens of the base tokenizer for which its model has no row."""
        return self.base_tokens - self.known_rows

    @property
    def reused_rows(self) -> int:
        """Return the base's padding rows that new tokens take over."""
        return min(self.new_tokens, self.base_rows - self.known_rows)

    @property
    def padding_rows(self) -> int:
        """Return the rows after the last token."""
        return self.rows - self.base_tokens - self.new_tokens

    @property
    def kept_ranges(self) -> list[tuple[int, int]]:
        """Return the row ranges that are the base's own, bit for bit."""
        after = self.base_tokens + self.new_tokens
        return [(0, self.known_rows)] + ([(after, self.base_rows)] if after < self.base_rows else [])

    def counts(self) -> dict[str, int]:
        """Return the layout in numbers, for the manifest."""
        return {
            "base_tokens": self.base_tokens, "base_rows": self.base_rows, "new_rows": self.new_tokens,
            "rowless_base_tokens": self.rowless_tokens, "reused_rows": self.reused_rows,
            "padding_rows": self.padding_rows, "rows": self.rows,
        }  # fmt: skip


@dataclass(frozen=True)
class Extension:
    """What the tokenizer step added: ids from ``base_tokens`` on, and the base ids that spell each.

    ``spare`` are ids of added base tokens that are not special: a model may lack rows for these, as they
    stand for nothing it was trained on.
    """

    base_tokens: int
    pieces: list[str]
    decomposition: list[list[int]]
    spare: frozenset[int] = frozenset()


def read_extension(tokenizer_folder: Path) -> Extension:
    """Read extension.json and the added tokens; raise exit code 2 where the parts disagree."""
    path = tokenizer_folder / EXTENSION_NAME
    raw = json.loads(path.read_text(encoding="utf-8"))
    if not raw["new_tokens"] == len(raw["decomposition"]) == len(raw["pieces"]):
        raise RedwhaleError(
            f"{raw['new_tokens']} new tokens, yet {len(raw['pieces'])} pieces and "
            f"{len(raw['decomposition'])} decompositions", where=str(path),
            fix="make it again with `redwhale train-tokenizer --fresh`", exit_code=USAGE,
        )  # fmt: skip
    document = json.loads((tokenizer_folder / "tokenizer.json").read_text(encoding="utf-8"))
    spare = {token["id"] for token in document.get("added_tokens") or [] if not token.get("special")}
    spare -= set(document["model"]["vocab"].values())
    return Extension(raw["base_tokens"], raw["pieces"], raw["decomposition"], frozenset(spare))


def plan_rows(extension: Extension, base_rows: int, *, pad_rows_to: int) -> RowLayout:
    """Return the layout; rows are added, and then padded, only where the base's rows do not suffice.

    Raises exit code 2 where the base has fewer rows than its tokenizer has tokens, ``spare`` ones at the
    end excepted.
    """
    rowless = set(range(base_rows, extension.base_tokens))
    if rowless - extension.spare:
        raise RedwhaleError(
            f"the tokenizer does not fit the model: {extension.base_tokens} base tokens, {base_rows} rows",
            where="base", fix="use the tokenizer of this very model, without special tokens it has no rows for",
            exit_code=USAGE,
        )  # fmt: skip
    spare = base_rows - extension.base_tokens
    if spare > max(_MOST_PADDING_ROWS, _MOST_PADDING_SHARE * base_rows):
        raise RedwhaleError(
            f"the tokenizer does not fit the model: {extension.base_tokens} base tokens, {base_rows} rows, and rows "
            "without a token would be taken for padding", where="base",
            fix="use the tokenizer of this very model", exit_code=USAGE,
        )  # fmt: skip
    needed = extension.base_tokens + len(extension.decomposition)
    rows = base_rows if needed <= base_rows else -(-needed // pad_rows_to) * pad_rows_to
    return RowLayout(extension.base_tokens, base_rows, len(extension.decomposition), rows)


def refuse_unknown_pieces(extension: Extension, layout: RowLayout) -> None:
    """Raise exit code 2 for a decomposition that is empty or names an id which is no base token with a row."""
    for token, pieces in enumerate(extension.decomposition):
        if not pieces or min(pieces) < 0 or max(pieces) >= layout.known_rows:
            raise RedwhaleError(
                f"new token {token} is made of {list(pieces)}, not of base ids below {layout.known_rows}",
                where="extension.json: decomposition", fix="make the tokenizer again with --fresh", exit_code=USAGE,
            )  # fmt: skip


def refuse_claimed_ids(configs: dict[str, dict[str, Any]], layout: RowLayout) -> None:
    """Raise exit code 2 where a special id of the base would mean a new token.

    Some bases name an id behind their tokens (``pad_token_id: 32000`` of 32,000), which then stops or pads
    at a Korean word. ``configs`` maps file names to their contents.
    """
    for name, config in configs.items():
        for key, value in config.items():
            ids = value if isinstance(value, list) else [value]
            if not key.endswith("_token_id"):
                continue
            for identifier in ids:
                if isinstance(identifier, int) and 0 <= identifier - layout.base_tokens < layout.new_tokens:
                    raise RedwhaleError(
                        f"{key} is {identifier}, which is the id of a new token", where=f"base: {name}",
                        fix=f"set it to a token of the base's tokenizer (ids below {layout.base_tokens})",
                        exit_code=USAGE,
                    )  # fmt: skip
