"""A first recipe from a few answers: a preset with the user's base, text, languages and cards in it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.presets import commented, read_preset

OTHER_SHARE = 0.25
"""Share of English and code in training: a quarter keeps English (docs/training.md)."""
_PATTERN = re.compile(r"[*?\[]")
_ESCAPED = re.compile(r"\[([*?\[])\]")  # as glob.escape writes a sign of a folder's name
_ADDRESS = re.compile(r"[a-z0-9]+:(?!:)")  # not data::member
_REMARKS_OF_SOURCES = re.compile(r"pretrain\.(?:mixture|stages\.\d+)$")


@dataclass(frozen=True)
class Answers:
    """What a user says of a project; what is left out stays as the preset has it.

    Paths are taken from where the command runs. ``other_share`` is the share of ``english`` and ``code`` in training.
    """

    preset: str
    base: str | None = None
    korean: tuple[str, ...] = ()
    english: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    other_share: float | None = None
    devices: int | None = None


def draft(answers: Answers, out: Path | None) -> str:
    """Return a complete, commented recipe to stand at ``out``; raise exit code 2 where answers do not go together."""
    preset = read_preset(answers.preset)
    recipe, remarks, header = preset["recipe"], dict(preset.get("remarks") or {}), preset["header"]
    folder = out.parent if out else Path()
    if answers.base and answers.base != recipe.get("base", {}).get("model"):
        here = answers.base.startswith((".", "~")) or Path(answers.base).exists()
        _change_base(recipe, remarks, _seen_from(folder, answers.base, is_path=here))
        header = (
            f"{answers.base} turned Korean, by the preset {answers.preset}, which was made for another base:\n"
            "`redwhale plan` says what each stage takes. Look at rates and numbers of tokens before you train."
        )
    if answers.korean or answers.english or answers.code:
        _change_sources(recipe, remarks, answers, folder)
    elif answers.other_share is not None:
        raise RedwhaleError(
            "a share of English and code says nothing without the sources", where="--other-share",
            fix="name the text too: --korean, --english, --code", exit_code=USAGE,
        )  # fmt: skip
    if answers.devices:
        recipe["machine"]["devices"] = answers.devices
    try:
        return commented(recipe, header=header, remarks=remarks)
    except ValidationError as error:
        what = "; ".join(fault["msg"] for fault in error.errors())
        raise RedwhaleError(
            f"the answers make no recipe: {what}", where="redwhale new", fix="mend the answers", exit_code=USAGE
        ) from None


def _change_base(recipe: dict[str, Any], remarks: dict[str, str], base: str) -> None:
    """Put another base in; how many tokens it needs is another question then."""
    recipe["base"] = {"model": base}
    stem = re.sub(r"[^\w.]+", "-", Path(base).name.lower()).strip("-._")
    recipe["name"] = f"{stem or 'model'}-ko"
    recipe["workdir"] = f"runs/{recipe['name']}"
    if "tokenizer" in recipe:
        recipe["tokenizer"]["new_tokens"] = "auto"
        remarks["tokenizer.new_tokens"] = "as many as save enough of the training of this base (docs/tokenizer.md)"
    for key in ("base.model", "pretrain.deepspeed", "pretrain.stages"):  # said of the preset's own base
        remarks.pop(key, None)


def _change_sources(recipe: dict[str, Any], remarks: dict[str, str], answers: Answers, folder: Path) -> None:
    """Put the user's text in: Korean sources share what the others leave, each as much as its files are large."""
    if not answers.korean:
        raise RedwhaleError("no Korean text is named", where="--korean", fix="name some", exit_code=USAGE)
    others = (*answers.english, *answers.code)
    share = (OTHER_SHARE if others else 0.0) if answers.other_share is None else answers.other_share
    if not 0 <= share < 1 or bool(others) != (share > 0):
        raise RedwhaleError(
            f"a share of {share:g} for English and code does not go with {len(others)} sources of them",
            where="--other-share", fix="a share from 0 to 1, and text to take it from: --english, --code",
            exit_code=USAGE,
        )  # fmt: skip
    sources: list[dict[str, Any]] = []
    for language, paths in (("ko", answers.korean), ("en", answers.english), ("code", answers.code)):
        for path in paths:
            name = _name_of(path, taken=[source["name"] for source in sources])
            sources.append(
                {"name": name, "language": language, "path": _seen_from(folder, path, is_path=not _ADDRESS.match(path))}
            )
    recipe["preprocess"]["sources"] = sources
    named = list(zip([source["name"] for source in sources], [*answers.korean, *others], strict=True))
    count = len(answers.korean)
    mixture = _shared(named[:count], 1 - share) | _shared(named[count:], share)
    for remark in [key for key in remarks if _REMARKS_OF_SOURCES.match(key)]:
        del remarks[remark]
    for stage in recipe["pretrain"]["stages"]:
        stage.pop("mixture", None)
    recipe["pretrain"]["mixture"] = mixture
    remarks["pretrain.mixture"] = "English and code keep what the base knows; each language's sources by size"


def _shared(named: list[tuple[str, str]], share: float) -> dict[str, float]:
    """Share out ``share`` over sources by the bytes of their files; alike where some are not on this machine."""
    sizes = {name: sum(file.stat().st_size for file in files_of(path)) for name, path in named}
    if not all(sizes.values()):
        sizes = dict.fromkeys(sizes, 1)
    shares = {name: round(share * size / sum(sizes.values()), 3) for name, size in sizes.items()}
    if shares:
        first = next(iter(shares))
        shares[first] = round(shares[first] + share - sum(shares.values()), 3)
    return {name: max(value, 0.001) for name, value in shares.items()}


def files_of(path: str) -> list[Path]:
    """Return the files of this machine that a path or pattern names now."""
    if _ADDRESS.match(path):
        return []
    place = Path(path).expanduser()
    if not _PATTERN.search(path):
        return [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.is_file())
    root = Path(*place.parts[: next(i for i, part in enumerate(place.parts) if _PATTERN.search(part))])
    return [file for file in root.glob(str(place.relative_to(root))) if file.is_file()]


def _seen_from(folder: Path, written: str, *, is_path: bool) -> str:
    """Return a path as the recipe in ``folder`` has to write it; addresses and names of the hub are no paths."""
    path = Path(written).expanduser()
    if not is_path or path.is_absolute():
        return str(path) if path.is_absolute() else written
    return os.path.relpath(path, folder)


def _name_of(path: str, *, taken: list[str]) -> str:
    """Name a source after its file, or the folder where the file is a pattern."""
    written = Path(path.partition("::")[0]).parts
    parts = [_ESCAPED.sub(r"\1", part) for part in written if not _PATTERN.search(_ESCAPED.sub("", part))]
    stem = (parts[-1] if parts else "text").split(".")[0].split(":")[-1]
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_") or "text"
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free
