"""The ``pack`` step: every document of the corpus as token ids, once, in one seeded stream per source.

A document is what the tokenizer's own template puts in front (BOS, if anything), its tokens with special
parsing off, and EOS. Documents stay whole and none is dropped; how the stream is cut into sequences is
decided when it is read (``data.py``), so nothing here depends on the sequence length.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from redwhale.core.artifact import Manifest
from redwhale.core.cluster.executors import executor_for
from redwhale.core.console import Console
from redwhale.core.errors import FAILED, USAGE, RedwhaleError
from redwhale.core.publish import atomic_file, write_json
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce, scratch_of
from redwhale.corpus.reader import corpus_input
from redwhale.tokenizer.reader import tokenizer_input
from redwhale.training.data import INDEX_NAME, STEP, map_file, seeded_order

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from redwhale.corpus.reader import CorpusSource

ALGORITHM = 1
_BATCH_CHARACTERS = 1 << 18
_BATCH_DOCUMENTS = 256

Array = npt.NDArray[Any]


def plan(recipe: Recipe) -> Plan:
    """Return what packing reads and writes; the seed decides the order of the documents."""
    return Plan(
        step=STEP, command=recipe.command("pack"), folder=recipe.tokens_folder,
        inputs=(corpus_input(recipe), tokenizer_input(recipe)),
        fields={"seed": recipe.seed}, algorithm=ALGORITHM,
    )  # fmt: skip


def run(recipe: Recipe, *, console: Console, fresh: bool = False, verify: bool = False) -> Manifest:
    """Pack the corpus with the tokenizer, or say that it is done; raise where a step before is not finished."""
    steps = plan(recipe)
    return produce(steps, lambda: build(recipe, steps.folder, console), console=console, fresh=fresh, verify=verify)


def build(recipe: Recipe, folder: Path, console: Console) -> Built:
    """Encode every corpus file, then write each source's stream in its seeded order."""
    from redwhale.corpus.reader import read_sources

    _, framing = read_framing(recipe.tokenizer_folder)
    sources = read_sources(recipe.corpus_folder)
    parts = encode_sources(recipe, sources, folder=scratch_of(folder), console=console)
    entries = [
        write_source(folder, source, parts[source.name], framing=framing, seed=recipe.seed) for source in sources
    ]
    write_json(folder / INDEX_NAME, framing.describe() | {"sources": entries})
    streams = [folder / f"{source.name}.{kind}" for source in sources for kind in ("tokens", "documents")]
    return Built(
        outputs=[*streams, folder / INDEX_NAME],
        counts={kind: sum(entry[kind] for entry in entries) for kind in ("documents", "tokens", "text_bytes")},
        metrics={
            "tokens": {entry["name"]: entry["tokens"] for entry in entries},
            "bytes_per_token": {
                entry["name"]: round(entry["text_bytes"] / entry["tokens"], 4) for entry in entries if entry["tokens"]
            },
        },
    )


@dataclass(frozen=True)
class Framing:
    """What surrounds each document, and the ids that no text may become (``control``, ascending)."""

    prefix: tuple[int, ...]
    end: int
    control: tuple[int, ...]
    vocabulary: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return uint16 where every id fits, else uint32; little-endian."""
        return np.dtype("<u2" if self.vocabulary <= 1 << 16 else "<u4")

    @property
    def forbidden(self) -> Array:
        """Return for each id of the vocabulary whether text may not become it, ``(vocabulary,) bool``."""
        table = np.zeros(self.vocabulary, dtype=bool)
        table[list(self.control)] = True
        return table

    def describe(self) -> dict[str, Any]:
        """Return the head of ``index.json``."""
        return {
            "dtype": self.dtype.name, "vocabulary": self.vocabulary,
            "begin_tokens": list(self.prefix), "end_token": self.end,
        }  # fmt: skip


def read_framing(tokenizer_folder: Path) -> tuple[Tokenizer, Framing]:
    """Load the tokenizer with special parsing off; raise exit code 2 where it has no EOS."""
    from redwhale.tokenizer.reader import load_tokenizer

    loaded = load_tokenizer(tokenizer_folder)
    tokenizer: Tokenizer = loaded.backend_tokenizer
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if loaded.eos_token_id is None:
        raise RedwhaleError(
            "the tokenizer names no `eos_token`, so documents could not be told apart",
            where=str(tokenizer_folder / "tokenizer_config.json"),
            fix="set `eos_token` in the base's tokenizer_config.json and make the tokenizer again", exit_code=USAGE,
        )  # fmt: skip
    added = tokenizer.get_added_tokens_decoder()
    control = {id_ for id_, token in added.items() if token.special} | {loaded.eos_token_id}
    framing = Framing(
        prefix=_template_prefix(tokenizer), end=loaded.eos_token_id,
        control=tuple(sorted(control - {loaded.unk_token_id})),  # a text may well hold what the base cannot spell
        vocabulary=max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1,
    )  # fmt: skip
    return tokenizer, framing


def _template_prefix(tokenizer: Tokenizer) -> tuple[int, ...]:
    """Return the ids that the tokenizer's own template puts before a text."""
    bare = tokenizer.encode("a", add_special_tokens=False).ids
    framed = tokenizer.encode("a", add_special_tokens=True).ids
    for place in range(len(framed) - len(bare) + 1):
        if framed[place : place + len(bare)] == bare:
            return tuple(framed[:place])
    return ()


@dataclass(frozen=True)
class Part:
    """The documents of one corpus file, encoded in order: a flat token file and the length of each document."""

    tokens: Path
    lengths: Array
    text_bytes: int


@dataclass(frozen=True)
class EncodingTask:
    """One corpus file to encode into ``part`` with the tokenizer of a folder."""

    file: Path
    part: Path
    tokenizer: Path

    @property
    def done(self) -> Path:
        """Return the file of the documents' lengths, which is written last."""
        return self.part.with_suffix(".npz")


def encode_sources(
    recipe: Recipe, sources: Sequence[CorpusSource], *, folder: Path, console: Console
) -> dict[str, list[Part]]:
    """Encode every file of every source into ``folder``, except those that a killed run finished."""
    tasks = {
        source.name: [
            EncodingTask(file, folder / f"{source.name}-{number:05d}.tokens", recipe.tokenizer_folder)
            for number, file in enumerate(source.train_files)
        ]
        for source in sources
    }
    missing = [task for each in tasks.values() for task in each if not task.done.is_file()]
    size_bytes = sum(task.file.stat().st_size for task in missing)
    with (
        executor_for(recipe, most=len(missing), folder=folder / "jobs", console=console) as workers,
        console.progress("pack", size_bytes, "B") as progress,
    ):
        for task in workers.map_shards(encode_file, missing):
            progress.advance(task.file.stat().st_size, task.file.name)
    return {name: [_read_part(task) for task in each] for name, each in tasks.items()}


def _read_part(task: EncodingTask) -> Part:
    with np.load(task.done, allow_pickle=False) as stored:
        return Part(task.part, stored["lengths"], int(stored["text_bytes"]))


def encode_file(shard: EncodingTask) -> None:
    """Write one part, batch by batch."""
    if multiprocessing.parent_process() is not None:  # one thread per process; alone, the tokenizer uses all cores
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer, framing = read_framing(shard.tokenizer)
    forbidden = framing.forbidden
    counts: list[int] = []
    text_bytes = 0
    with atomic_file(shard.part) as temporary, temporary.open("wb") as out:
        for texts in _batches(shard.file):
            text_bytes += sum(len(text.encode()) for text in texts)
            for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False):
                ids = np.array(encoding.ids, dtype=np.int64)
                if forbidden[ids].any():
                    raise _became_control(ids[forbidden[ids]], where=f"{shard.file}: row {len(counts)}")
                document = frame(ids, framing)
                counts.append(len(document))
                out.write(document.tobytes())
    with atomic_file(shard.done) as temporary, temporary.open("wb") as out:
        np.savez(out, lengths=np.array(counts, dtype=np.int64), text_bytes=np.int64(text_bytes))


def _batches(file: Path) -> Iterator[list[str]]:
    """Yield the file's texts in order, under a MiB at a time: encodings take 100 times the memory of the text."""
    from redwhale.corpus.reader import iterate_texts

    batch: list[str] = []
    size = 0
    for texts in iterate_texts([file], batch_documents=_BATCH_DOCUMENTS):
        for text in texts:
            batch.append(text)
            size += len(text)
            if size >= _BATCH_CHARACTERS:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _became_control(ids: Array, *, where: str) -> RedwhaleError:
    return RedwhaleError(
        f"text became the control tokens {sorted(set(ids.tolist()))}", where=where,
        fix="this is a fault of the tokenizer: no merge may spell a control token", exit_code=FAILED,
    )  # fmt: skip


def frame(ids: Array, framing: Framing) -> Array:
    """Return one document's ids ``(n,) int64`` with prefix and EOS, in the stored dtype."""
    framed = np.empty(len(framing.prefix) + len(ids) + 1, dtype=framing.dtype)
    framed[: len(framing.prefix)] = framing.prefix
    framed[len(framing.prefix) : -1] = ids
    framed[-1] = framing.end
    return framed


def write_source(
    folder: Path, source: CorpusSource, parts: list[Part], *, framing: Framing, seed: int
) -> dict[str, Any]:
    """Write a source's stream and document starts in seeded order and return its entry of ``index.json``."""
    lengths = np.concatenate([np.empty(0, dtype=np.int64), *(part.lengths for part in parts)])
    if len(lengths) != source.documents:
        raise RedwhaleError(
            f"{source.name} has {len(lengths)} documents, its corpus says {source.documents}", where=str(folder),
            fix="make the corpus again with `redwhale preprocess --fresh`",
        )  # fmt: skip
    order = seeded_order(len(lengths), seed, "documents", source.name)
    starts = np.zeros(len(lengths) + 1, dtype="<i8")
    np.cumsum(lengths[order], out=starts[1:])
    with atomic_file(folder / f"{source.name}.tokens") as temporary:
        write_permuted(temporary, parts, order, dtype=framing.dtype)
        assert temporary.stat().st_size == int(lengths.sum()) * framing.dtype.itemsize, "tokens were lost"
    with atomic_file(folder / f"{source.name}.documents") as temporary:
        starts.tofile(temporary)
    return {
        "name": source.name, "language": source.language, "tokens": int(starts[-1]), "documents": len(lengths),
        "text_bytes": sum(part.text_bytes for part in parts),
    }  # fmt: skip


def write_permuted(target: Path, parts: list[Part], order: Array, *, dtype: np.dtype[Any]) -> None:
    """Write the documents of ``parts`` (numbered through) in ``order: (documents,) int64``; memory stays at one."""
    streams = [map_file(part.tokens, dtype, at_random=True) for part in parts]
    part_of = np.repeat(np.arange(len(parts)), [len(part.lengths) for part in parts])
    ends = np.concatenate([np.empty(0, dtype=np.int64), *(np.cumsum(part.lengths) for part in parts)])
    begins = ends - np.concatenate([np.empty(0, dtype=np.int64), *(part.lengths for part in parts)])
    with target.open("wb") as out:
        for number in order.tolist():
            out.write(streams[part_of[number]][begins[number] : ends[number]].tobytes())
