"""``eval tokenizer``: any tokenizers side by side on the same text, the first being what ratios refer to."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redwhale.core.artifact import read_manifest
from redwhale.core.base import base_folder
from redwhale.core.console import Console
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.corpus.reader import iterate_texts, read_sources
from redwhale.evaluation.text_files import find_files, read_file
from redwhale.tokenizer.base import JSON_NAME, MODEL_NAME, read_base
from redwhale.tokenizer.measure.encoder import Encoder, added_ids, of_tokenizer
from redwhale.tokenizer.measure.read import read_encoder, tokenizer_file
from redwhale.tokenizer.measure.tally import Tally, measure, use_of
from redwhale.tokenizer.measure.untouched import Untouched

BASE, OWN = "base", "tokenizer"
"""Words for the recipe's base tokenizer, and for the one that the recipe makes."""
SAMPLE_BYTES = 100_000
"""Most text per source on which morphemes are compared."""
_THREADS_VARIABLE = "TOKENIZERS_PARALLELISM"
_MEGABYTE = 1e6
_BATCH_DOCUMENTS = 100


@dataclass(frozen=True)
class Body:
    """A named body of text: ``read`` yields texts with the stored bytes, of ``stored_bytes``, read for them."""

    name: str
    language: str | None
    stored_bytes: int
    read: Callable[[], Iterator[tuple[list[str], int]]]


def needs_recipe(names: Sequence[str], data: Sequence[Path]) -> bool:
    """Tell whether the recipe is read: for its held-out text, or for a tokenizer of its own."""
    return not data or not names or bool({BASE, OWN} & set(names))


def run(
    names: Sequence[str], *, data: Sequence[Path], text: str, recipe: Recipe | None, console: Console
) -> dict[str, Any]:
    """Measure tokenizers on files, or on the recipe's held-out documents; return all figures as JSON takes them.

    Raises exit code 2 where a tokenizer or a file cannot be read, and where there is no text.
    """
    encoders = read_encoders(list(names) or [BASE, OWN], recipe)
    bodies = _files(data, text, console) if data else _held_out(recipe)
    untouched = Untouched(encoders)
    tallies = _measure_all(list(encoders.values()), bodies, untouched, console)
    everything = _sum(list(tallies.values()), encoders)
    if not everything.characters:
        where = ", ".join(map(str, data)) if data else str(recipe.corpus_folder if recipe else "")
        raise RedwhaleError("there is no text to measure on", where=where, fix="name text with --data", exit_code=USAGE)
    _warn_of_unknown(everything, list(encoders), console)
    by_language: dict[str, list[Tally]] = {}
    for body in bodies:
        if body.language and body.name in tallies:
            by_language.setdefault(body.language, []).append(tallies[body.name])
    of_source = {body.name: {"language": body.language} if body.language else {} for body in bodies}
    return {
        "reference": next(iter(encoders)),
        "tokenizers": _descriptions(encoders, everything, untouched.figures()),
        "sources": {name: of_source[name] | _figures(tally, encoders) for name, tally in tallies.items()},
        "languages": {name: _figures(_sum(parts, encoders), encoders) for name, parts in by_language.items()},
        "all": _figures(everything, encoders),
    }


def read_encoders(names: Sequence[str], recipe: Recipe | None) -> dict[str, Encoder]:
    """Return the tokenizers under names that tell them apart."""
    paths = [Path(os.path.abspath(Path(name).expanduser())) for name in names]  # noqa: PTH100  (links keep their name)
    labels = dict(zip(names, _labels(names, paths), strict=True))
    if len(labels) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise RedwhaleError(
            f"the tokenizer {twice!r} is named twice", where="eval tokenizer", fix="name each once", exit_code=USAGE
        )
    return {labels[name]: _encoder(name, path, recipe) for name, path in zip(names, paths, strict=True)}


def _encoder(name: str, path: Path, recipe: Recipe | None) -> Encoder:
    """Read the recipe's tokenizers as training reads them, any other by the library of its file."""
    if recipe is not None and name == BASE:
        return of_tokenizer(read_base(base_folder(recipe)).tokenizer())
    if recipe is not None and name == OWN:
        read_manifest(recipe.tokenizer_folder, step="train-tokenizer")
        return of_tokenizer(read_base(recipe.tokenizer_folder).tokenizer())
    return read_encoder(tokenizer_file(path))


def _labels(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Return short names: those of the folders, or of the files where these have names of their own."""
    places = []
    for name, path in zip(names, paths, strict=True):
        if name in (BASE, OWN):
            places.append(Path(name))
        elif path.name in (JSON_NAME, MODEL_NAME):
            places.append(path.parent)
        else:
            places.append(path.with_suffix("") if path.is_file() else path)
    return _distinct(places) or _distinct(paths) or list(names)


def _distinct(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that differ, or nothing where two are the same."""
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        ends = ["/".join(path.parts[-depth:]).replace("//", "/") for path in paths]
        if len(set(ends)) == len(ends):
            return ends
    return []


def _files(data: Sequence[Path], text: str, console: Console) -> list[Body]:
    files = find_files([path.expanduser() for path in data])
    paths = [file.path.absolute() for file in files]
    stems = [path.with_name(path.name.partition(".")[0] or path.name) for path in paths]
    names = _distinct(stems) or _distinct(paths)
    if not names:
        twice = next(path for path in paths if paths.count(path) > 1)
        raise RedwhaleError(f"{twice} is named twice", where="--data", fix="name each once", exit_code=USAGE)

    def reader(number: int) -> Callable[[], Iterator[tuple[list[str], int]]]:
        return lambda: read_file(files[number], text=text, console=console)

    return [Body(name, None, files[i].size, reader(i)) for i, name in enumerate(names)]


def _held_out(recipe: Recipe | None) -> list[Body]:
    assert recipe is not None

    def reader(files: list[Path]) -> Callable[[], Iterator[tuple[list[str], int]]]:
        def read() -> Iterator[tuple[list[str], int]]:
            for path in files:
                yield from ((texts, 0) for texts in iterate_texts([path], batch_documents=_BATCH_DOCUMENTS))
                yield [], path.stat().st_size

        return read

    bodies = [
        Body(s.name, s.language, sum(path.stat().st_size for path in s.held_out_files), reader(s.held_out_files))
        for s in read_sources(recipe.corpus_folder)
        if s.held_out_files
    ]
    if not bodies:
        raise RedwhaleError(
            "the corpus holds no held-out documents, so nothing can be measured", where=str(recipe.corpus_folder),
            fix="name text with --data, or raise `preprocess.held_out.fraction` and make the corpus again",
            exit_code=USAGE,
        )  # fmt: skip
    return bodies


def _measure_all(
    encoders: Sequence[Encoder], bodies: Sequence[Body], untouched: Untouched, console: Console
) -> dict[str, Tally]:
    """Measure each body of text; one without any text is left out with a warning."""
    tallies: dict[str, Tally] = {}
    total = sum(body.stored_bytes for body in bodies)
    with _one_thread(), console.progress("eval tokenizer", total, "B") as progress:
        for body in bodies:

            def texts(body: Body = body) -> Iterator[str]:
                for batch, stored_bytes in body.read():
                    for one in batch:
                        untouched.see(one)
                        yield one
                    progress.advance(stored_bytes, body.name)

            tally = measure(encoders, texts(), sample_bytes=SAMPLE_BYTES)
            if tally.characters:
                tallies[body.name] = tally
            else:
                console.warn(f"eval tokenizer: {body.name} holds no text and is left out")
    return tallies


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let the tokenizers library encode on one thread, which makes speeds comparable."""
    before = os.environ.get(_THREADS_VARIABLE)
    os.environ[_THREADS_VARIABLE] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_THREADS_VARIABLE]
        else:
            os.environ[_THREADS_VARIABLE] = before


def _sum(tallies: Sequence[Tally], encoders: dict[str, Encoder]) -> Tally:
    total = Tally(list(encoders.values()))
    for tally in tallies:
        total.add(tally)
    return total


def _figures(tally: Tally, encoders: dict[str, Encoder]) -> dict[str, Any]:
    """Return the sizes of a text and the figures of each tokenizer, with ratio to the first and encode speed."""
    figures: dict[str, Any] = {}
    for number, name in enumerate(encoders):
        seconds = tally.cpu_seconds[number]
        figures[name] = tally.figures(number) | {
            "ratio": round(tally.tokens(number) / tally.tokens(0), 4) if tally.tokens(0) else None,
            "encode_cpu_seconds": round(seconds, 4),
            "encode_megabytes_per_cpu_second": round(tally.bytes / _MEGABYTE / seconds, 3) if seconds else None,
        }
    return {**tally.size(), "tokenizers": figures}


def _descriptions(
    encoders: dict[str, Encoder], everything: Tally, untouched: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Return what each tokenizer is; of one that extends the first, how the text uses its further pieces."""
    first, *others = encoders.values()
    described: dict[str, Any] = {}
    for number, (name, encoder) in enumerate(encoders.items()):
        added = added_ids(first, encoder) if encoder in others else None
        described[name] = {
            "library": encoder.package,
            "vocabulary": len(encoder.vocabulary),
            "new_pieces": use_of(added, everything.uses[number]) if added else None,
            "untouched": untouched.get(name),
        }
    return described


def _warn_of_unknown(everything: Tally, names: Sequence[str], console: Console) -> None:
    for number, name in enumerate(names):
        share = everything.figures(number)["unknown_token_share"]
        if share:
            console.warn(
                f"eval tokenizer: {100 * share:.2f} % of the tokens of {name} stand for text that it cannot spell, "
                "so its other figures flatter it"
            )
