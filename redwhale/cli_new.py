"""``redwhale new``: a first recipe, from flags or from questions."""

from __future__ import annotations

import glob
import itertools
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from redwhale import cli_completion
from redwhale.cli_options import DEFAULT, Json, begin_console

if TYPE_CHECKING:
    from redwhale.core.console import Console
    from redwhale.core.recipe.draft import Answers

_FIRST = "redwhale-10.8b"
_LANGUAGES = ("korean", "english", "code")

Text = Annotated[
    list[str] | None, typer.Option(metavar="PATH", help="Korean text: file, pattern or folder; again for more.")
]
English = Annotated[
    list[str] | None, typer.Option(metavar="PATH", help="English text, which keeps the base's English.")
]
Code = Annotated[list[str] | None, typer.Option(metavar="PATH", help="Program code.")]


def new(
    preset: Annotated[str | None, typer.Option(
        "--preset", "-p", help="Which preset; --gpu chooses one too.", autocompletion=cli_completion.presets,
    )] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; stdout by default.")] = None,
    base: Annotated[str | None, typer.Option(help="Base model: folder or hub name.")] = None,
    korean: Text = None, english: English = None, code: Code = None,
    other_share: Annotated[str | None, typer.Option(help="Share of English and code, such as 25%.")] = None,
    gpu: Annotated[str | None, typer.Option(
        help="Cards, such as rtx4090-24gb or 8xh100-80gb; none for a CPU.", autocompletion=cli_completion.cards,
    )] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the presets.")] = False,
    json: Json = False,
) -> None:  # fmt: skip
    """Example:  redwhale new --gpu 24gb --korean "ko/*.jsonl" -o redwhale.yaml

    Write a complete, commented recipe: a preset, with your base, text and cards in it. Asks for them where nothing is
    given and a person is there.
    """
    from redwhale.core.recipe import presets
    from redwhale.core.recipe.draft import draft

    console = begin_console(json=json)
    if listed:
        console.result("new", {"presets": presets.descriptions()})
        console.table("", ["preset", "what"], list(presets.descriptions().items()))
        return
    given = {"base": base, "korean": korean, "english": english, "code": code, "other_share": other_share, "gpu": gpu}
    if not json and preset is None and not any(given.values()) and sys.stdin.isatty() and sys.stderr.isatty():
        given, out = _ask(out)
    answers = _answers(preset, given, console)
    text = draft(answers, out)
    if out is not None:
        presets.write_recipe(text, out)
        _look_at(out, answers, console)
    console.result("new", {"preset": answers.preset, "file": str(out) if out else None, "recipe": text})
    if not json and out is None:
        console.data(text.rstrip())


def _answers(preset: str | None, given: dict[str, Any], console: Console) -> Answers:
    """Return what was said, with the preset that fits the cards where none is named; raise 2 where it says nothing."""
    from redwhale.core.recipe.draft import Answers

    for option in ("base", "other_share", "gpu"):
        if given[option] is not None:
            _said(given[option], f"--{option.replace('_', '-')}")
    fitting, devices = _fitting(given["gpu"]) if given["gpu"] else (_FIRST, None)
    texts = {
        language: tuple(itertools.chain.from_iterable(
            _patterns(_said(path, f"--{language}"), console) for path in given[language] or ()
        ))
        for language in _LANGUAGES
    }  # fmt: skip
    share = _share(given["other_share"]) if given["other_share"] else None
    return Answers(preset or fitting, given["base"], **texts, other_share=share, devices=devices)


def _said(written: str, option: str) -> str:
    from redwhale.core.errors import USAGE, RedwhaleError

    if not written.strip():
        raise RedwhaleError("nothing is named", where=option, fix="name something, or leave it out", exit_code=USAGE)
    return written


def _patterns(path: str, console: Console | None = None) -> list[str]:
    """Return a path as a source takes it: a folder of files as a pattern for each ending that can be read."""
    from redwhale.core.errors import USAGE, RedwhaleError
    from redwhale.corpus.read.sources import is_dataset

    folder = Path(path).expanduser()
    if not folder.is_dir() or is_dataset(folder):
        return [path]
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    if not (endings := sorted({_ending(file) for file in files} - {""})):
        raise RedwhaleError(
            "no file in it can be read by its ending", where=path, exit_code=USAGE,
            fix="name files, or a pattern such as folder/*.jsonl",
        )  # fmt: skip
    left = [str(file.relative_to(folder)) for file in files if not _ending(file)]
    if left and console:
        some = ", ".join(left[:3]) + (" …" if len(left) > 3 else "")
        console.warn(f"{path}: left out, for their endings are not known: {some}")
    return [f"{glob.escape(path.rstrip('/'))}/**/*{ending}" for ending in endings]


def _ending(file: Path) -> str:
    """Return the ending that says how a file is read, that of compression with it; nothing where none does."""
    from redwhale.corpus.read.sources import can_read, compression_of

    if not can_read(file.name):
        return ""
    packed = compression_of(file.name)
    return Path(file.name.removesuffix(packed)).suffix + packed


def _fitting(gpu: str) -> tuple[str, int | None]:
    """Return the preset for cards written as ``8xh100-80gb``, ``24gb`` or ``none``, and their number."""
    from redwhale.core.errors import USAGE, RedwhaleError
    from redwhale.training.estimate.cards import CARDS

    if gpu in ("none", "cpu"):
        return "cpu", None
    found = re.fullmatch(r"(?:(\d+)x)?(.+?)", gpu)
    count, name = int(found[1] or 1) if found else 1, found[2] if found else gpu
    size = re.search(r"(\d+)gb$", name)
    if count < 1 or not size or (name not in CARDS and name != size[0]):
        raise RedwhaleError(
            f"no cards are known as {gpu!r}", where="--gpu", exit_code=USAGE,
            fix=f"a card or its memory, with a number before it where there are several (8xh100-80gb, 24gb, none); "
            f"cards: {', '.join(CARDS)}",
        )  # fmt: skip
    if int(size[1]) < 80:
        return "24gb", count
    return ("80gb" if count == 1 else "8x80gb"), count


def _share(written: str) -> float:
    from redwhale.core.errors import USAGE, RedwhaleError

    number = re.fullmatch(r"(\d+\.?\d*|\.\d+)(%?)", written.strip())
    share = float(number[1]) / (100 if number[2] else 1) if number else -1.0
    if not 0 <= share < 1:
        raise RedwhaleError(
            f"{written!r} is no share below 1", where="--other-share", fix="write 25% or 0.25", exit_code=USAGE
        )
    return share


def _some_share(written: str) -> float:
    """Read a share that is to be taken from text that is named."""
    from redwhale.core.errors import USAGE, RedwhaleError

    if not (share := _share(written)):
        raise RedwhaleError("no share is left for the English text", where="answer", fix="25%, say", exit_code=USAGE)
    return share


def _base(answer: str) -> str:
    return _said(answer, "answer")


def _texts(answer: str) -> list[str]:
    """Split an answer as a shell does, so that a path in quotes may have spaces; folders must hold text."""
    from redwhale.core.errors import USAGE, RedwhaleError

    try:
        words = shlex.split(answer)
    except ValueError:
        raise RedwhaleError("a quote is open", where="answer", fix="close it", exit_code=USAGE) from None
    if not words or "-" in words:
        raise RedwhaleError("no text is named", where="answer", fix="name files, folders or patterns", exit_code=USAGE)
    for word in words:
        _patterns(word)
    return words


def _texts_or_none(answer: str) -> list[str]:
    return [] if answer == "-" else _texts(answer)


def _ask(out: Path | None) -> tuple[dict[str, Any], Path]:
    """Ask a person, on stderr; every question shows what Enter answers, and one that is answered badly comes again."""
    from redwhale.core.errors import RedwhaleError
    from redwhale.core.recipe.presets import check_free, read_preset

    def ask(question: str, default: str, read: Any = str) -> Any:
        while True:
            answer = str(typer.prompt(question, default=default, err=True)).strip()
            try:
                return answer, read(answer)
            except RedwhaleError as error:
                typer.echo(f"  {error}", err=True)

    if out:
        check_free(out)
    typer.echo(
        "A few questions; Enter takes what stands in brackets, Ctrl-C ends. All of it can be changed later.", err=True
    )
    gpu, (preset, _) = ask("GPU (rtx4090-24gb, 80gb, 8xh100-80gb, none for a CPU)", "none", _fitting)
    base, _ = ask("Base model, folder or hub name", read_preset(preset)["recipe"]["base"]["model"], _base)
    _, korean = ask("Korean text, files, folders or patterns with spaces between", "data/ko/*.jsonl", _texts)
    _, english = ask("English text, which keeps the base's English (- for none)", "data/en/*.jsonl", _texts_or_none)
    share = ask("Share of English in training", "25%", _some_share)[0] if english else None
    file = out or ask("File to write", str(DEFAULT), lambda name: check_free(Path(name)))[0]
    given = {"base": base, "korean": korean, "english": english, "code": None, "other_share": share, "gpu": gpu}
    return given, Path(file)


def _look_at(out: Path, answers: Answers, console: Any) -> None:
    """Say what is missing yet, and what comes next."""
    from redwhale.core.recipe.draft import files_of
    from redwhale.core.recipe.load import load_recipe

    recipe = load_recipe(out)
    for path in (*answers.korean, *answers.english, *answers.code):
        if ":" not in path and not files_of(path):
            console.warn(f"{path}: no file is there yet")
    if answers.korean and not answers.english:
        console.warn("no English text: the base will forget English (--english names some)")
    console.note(f"wrote {out}")
    console.note(f"next: {recipe.command('plan')}, then {recipe.command('run')}")
