"""Artifacts: folders whose ``manifest.json``, written last, ties every output to its inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.publish import write_json

SCHEMA = 1
MANIFEST_NAME = "manifest.json"


_RECORD = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class FileRecord(BaseModel):
    """One file with its digest; size and mtime let an unchanged file pass without rehashing."""

    model_config = _RECORD
    path: str
    """Relative to the artifact's folder, with `/` on every system."""
    bytes: int
    """Size of the file."""
    sha256: str
    """Digest of the file's bytes."""
    mtime_ns: int
    """When it was written, in nanoseconds since 1970."""


class InputRecord(BaseModel):
    """What a step read: a file (its record) or another artifact (its folder and digest)."""

    model_config = _RECORD
    role: str
    """What it was to the step: `corpus`, `tokenizer`, `parent`, `source:NAME/FILE`, `base FILE`."""
    path: str
    """Where it stood, in full; it enters neither identity nor digest."""
    digest: str
    """sha256 of a file; of an artifact the digest of its outputs."""
    bytes: int | None = None
    """Size of a file; null for an artifact."""
    mtime_ns: int | None = None
    """When a file was written; null for an artifact."""


class GateRecord(BaseModel):
    """A limit that was checked: ``breached`` with ``do: stop`` makes the command exit 3."""

    model_config = _RECORD
    name: str
    """Name of the gate in the recipe."""
    value: float
    """What was found."""
    above: float
    """The limit, by the recipe as it was at the last command."""
    do: str
    """`stop` or `warn`."""
    breached: bool
    """Whether `value` is above the limit."""


DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
"""What reading a result raises where it is not as its step wrote it: gone, cut, or of another shape."""


class Manifest(BaseModel):
    """The record that completes an artifact; its presence means that the folder is whole."""

    model_config = _RECORD
    schema_version: int = SCHEMA
    """Version of this format; a newer one than the program knows is refused."""
    step: str
    """The step that made the artifact: `preprocess`, `train-tokenizer`, `init-model`, `pack`, `pretrain`, `eval-…`."""
    algorithm: int
    """Number of the step's method, raised by hand when equal settings and inputs give other bytes than before."""
    identity: str
    """sha256 of step, algorithm, fields, and the roles and digests of the inputs: what decides the output."""
    fields: dict[str, Any]
    """The keys of the recipe that change the output, as they were."""
    inputs: list[InputRecord]
    """All that the step read."""
    outputs: list[FileRecord]
    """The files of the result; what only tells of it, as `log.txt`, or a stage's rows, samples and card, is none."""
    counts: dict[str, Any] = {}
    """How much there was of what: records, documents, tokens, rows, questions; gates judge these."""
    metrics: dict[str, Any] = {}
    """What was measured."""
    gates: list[GateRecord] = []
    """Limits that were checked; judged anew at each command, by the recipe as it is then."""
    timings: dict[str, float] = {}
    """`wall_seconds` and `cpu_seconds` of the process that finished; a stage's `wall_seconds` have those of earlier
    processes in them, up to the checkpoints from which it went on."""
    environment: dict[str, Any] = {}
    """Python, platform, host, cores, versions of packages; no part of the identity."""

    @property
    def digest(self) -> str:
        """Hash of the outputs alone: equal for equal content, whatever the time, host or version."""
        return hash_json([[record.path, record.sha256] for record in self.outputs])

    @property
    def output_bytes(self) -> int:
        """Return the size of all outputs."""
        return sum(record.bytes for record in self.outputs)

    @property
    def made(self) -> str | None:
        """Return when the last output was written, as ISO 8601 in local time; None where there is none."""
        if not self.outputs:
            return None
        seconds = max(record.mtime_ns for record in self.outputs) / 1e9
        return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")

    @property
    def stopped_by_gate(self) -> bool:
        """Tell whether a breached gate asks the chain to stop."""
        return any(gate.breached and gate.do == "stop" for gate in self.gates)


@dataclass(frozen=True)
class Input:
    """Something a step reads: ``path`` is a file, or the folder of an artifact that ``made_by`` makes."""

    role: str
    path: Path
    made_by: str = ""


def hash_json(value: Any) -> str:
    """Return the sha256 of ``value`` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(paths: Iterable[Path]) -> list[str]:
    """Return the sha256 of every file, several read at once."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(hash_file, paths))


def record_files(
    paths: Sequence[Path],
    *,
    relative_to: Path,
    inputs: Iterable[InputRecord] = (),
    sha256: Mapping[Path, str] | None = None,
) -> list[FileRecord]:
    """Digest output files, but for those whose digest is in ``sha256`` and hard links to files among ``inputs``."""
    known = {path: digest for path in paths if (digest := (sha256 or {}).get(path) or _digest_of_link(path, inputs))}
    unknown = [path for path in paths if path not in known]
    known |= zip(unknown, hash_files(unknown), strict=True)
    return [
        FileRecord(
            path=path.relative_to(relative_to).as_posix(),
            bytes=(stat := path.stat()).st_size,
            sha256=known[path],
            mtime_ns=stat.st_mtime_ns,
        )
        for path in paths
    ]


def _digest_of_link(path: Path, inputs: Iterable[InputRecord]) -> str | None:
    """Return the digest of the input that ``path`` is a hard link to, where that is as it was when it was read."""
    stat = path.stat()
    for record in inputs if stat.st_nlink > 1 else ():
        if (record.bytes, record.mtime_ns) == (stat.st_size, stat.st_mtime_ns) and path.samefile(record.path):
            return record.digest
    return None


def read_manifest(folder: Path, *, step: str | None = None) -> Manifest:
    """Read a finished artifact's manifest; raise exit code 2 where there is none, or it is not ours or of ``step``."""
    path = folder / MANIFEST_NAME
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RedwhaleError(
            "there is no finished result here", where=str(folder),
            fix="run the step that makes it first (`redwhale status` names it)", exit_code=USAGE,
        ) from None  # fmt: skip
    except ValueError as error:
        raise RedwhaleError(
            f"the manifest is damaged ({error})", where=str(path), fix="make this step again with --fresh",
            exit_code=USAGE,
        ) from None  # fmt: skip
    if isinstance(raw, dict) and isinstance(newer := raw.get("schema_version"), int) and newer > SCHEMA:
        raise RedwhaleError(
            f"the manifest has schema {newer}, newer than this version reads ({SCHEMA})",
            where=str(path), fix="install a newer redwhale", exit_code=USAGE,
        )  # fmt: skip
    try:
        manifest = Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise RedwhaleError(
            f"the manifest is damaged ({'.'.join(map(str, first['loc']))}: {first['msg']})",
            where=str(path),
            fix="make this step again with --fresh",
            exit_code=USAGE,
        ) from None
    if step is not None and manifest.step != step:
        raise RedwhaleError(
            f"this is a result of {manifest.step}, not of {step}", where=str(folder),
            fix=f"name the folder of a finished `redwhale {step}`", exit_code=USAGE,
        )  # fmt: skip
    return manifest


def is_finished(folder: Path) -> bool:
    """Tell whether ``folder`` holds a finished artifact."""
    return (folder / MANIFEST_NAME).is_file()


def check_outputs(folder: Path, manifest: Manifest, *, rehash: bool = False) -> None:
    """Raise where an output is missing or changed; sizes and mtimes by default, digests with ``rehash``."""
    for record in manifest.outputs:
        path = folder / record.path
        where = str(path)
        fix = "make this step again with --fresh, or put the file back"
        if not path.is_file():
            raise RedwhaleError("a file of a finished result is missing", where=where, fix=fix)
        stat = path.stat()
        touched = stat.st_mtime_ns != record.mtime_ns
        if stat.st_size != record.bytes or ((touched or rehash) and hash_file(path) != record.sha256):
            raise RedwhaleError("a file of a finished result has changed", where=where, fix=fix)


def check_inputs(inputs: Iterable[Input], *, rehash: bool = False) -> None:
    """Raise where a file of an artifact among ``inputs`` is missing or changed since it was made."""
    for item in inputs:
        if item.path.is_dir():
            check_outputs(item.path, read_manifest(item.path), rehash=rehash)


def need_made(inputs: Iterable[Input]) -> None:
    """Raise exit code 2, naming the command to run first, where an artifact among ``inputs`` is not finished."""
    for item in inputs:
        if item.made_by and not is_finished(item.path):
            raise RedwhaleError(
                f"the {item.role} is not made yet", where=str(item.path), fix=f"run `{item.made_by}` first",
                exit_code=USAGE,
            )  # fmt: skip


def digest_inputs(inputs: Iterable[Input], *, known: Iterable[InputRecord] = ()) -> list[InputRecord]:
    """Digest every input; a file whose size and mtime are in ``known`` is not read again."""
    inputs = tuple(inputs)
    need_made(inputs)
    cache = {(r.path, r.bytes, r.mtime_ns): r.digest for r in known if r.bytes is not None}
    records = [_record_of(item, cache) for item in inputs]
    unknown = [place for place, record in enumerate(records) if not record.digest]
    for place, digest in zip(unknown, hash_files([inputs[place].path for place in unknown]), strict=True):
        records[place] = records[place].model_copy(update={"digest": digest})
    return records


def _record_of(item: Input, cache: dict[tuple[str, int, int | None], str]) -> InputRecord:
    """Return the record of an input, without a digest where the file has to be read for it."""
    path = item.path
    if path.is_dir():
        return InputRecord(role=item.role, path=str(path), digest=read_manifest(path).digest)
    if not path.is_file():
        raise RedwhaleError(
            "the file does not exist", where=f"{item.role}: {path}", fix="mend the path in the recipe", exit_code=USAGE
        )
    stat = path.stat()
    known = cache.get((str(path), stat.st_size, stat.st_mtime_ns), "")
    return InputRecord(role=item.role, path=str(path), digest=known, bytes=stat.st_size, mtime_ns=stat.st_mtime_ns)


def identity_of(step: str, algorithm: int, fields: dict[str, Any], inputs: Iterable[InputRecord]) -> str:
    """Return what decides the output: step, algorithm, own fields and input digests, nothing else."""
    return hash_json([step, algorithm, fields, [[r.role, r.digest] for r in inputs]])


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Publish the manifest, which completes the artifact."""
    write_json(folder / MANIFEST_NAME, manifest.model_dump(mode="json"))
