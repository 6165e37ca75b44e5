"""The demo: a tiny English base is trained, then turned Korean by the whole chain, on a CPU."""

from __future__ import annotations

import ast
import json
import shlex
import shutil
import sysconfig
import time
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

from redwhale.chain import Outcome, run_chain
from redwhale.core.console import Console
from redwhale.core.errors import FAILED, RedwhaleError
from redwhale.core.publish import atomic_folder, write_bytes
from redwhale.core.recipe.load import load_recipe
from redwhale.core.recipe.presets import preset_text
from redwhale.tables import show_demo

# Every eighth clean Korean document goes to the English base: about 1.8 % of its text.
TRACE_EVERY = 8
# Every twenty-fifth English document is seen by no model, so that English kept can be measured.
HELD_OUT_EVERY = 25
BASE_VOCABULARY = 4000
_DOCUMENT_CHARS = 2000


def run_demo(out: Path, *, console: Console) -> tuple[Outcome, Outcome]:
    """Write the demo's workspace to ``out``, train its English base, run the chain, print the table."""
    started = time.perf_counter()
    out = out.absolute()
    write_workspace(out, console=console)
    outcomes = []
    for recipe_name in ("base.yaml", "redwhale.yaml"):
        outcome = run_chain(load_recipe(out / recipe_name), console=console)
        if outcome.stopped:
            raise RedwhaleError(
                f"{list(outcome.manifests)[-1]}: a gate stopped the demo", where=str(out / recipe_name),
                fix="see the warning above; --out takes another folder to begin anew in", exit_code=FAILED,
            )  # fmt: skip
        outcomes.append(outcome)
    show_demo(outcomes[1], console, seconds=time.perf_counter() - started, base_seconds=outcomes[0].seconds)
    console.note(f"next: redwhale report -c {shlex.quote(str(out / 'redwhale.yaml'))}")
    return outcomes[0], outcomes[1]


def write_workspace(out: Path, *, console: Console) -> None:
    """Write recipes, bundled text, English documentation strings and a random base below ``out``.

    What stands there already is kept, so that a second demo has nothing to do.
    """
    for name, preset in (("base.yaml", "demo-base"), ("redwhale.yaml", "demo")):
        if not (out / name).exists():
            write_bytes(out / name, preset_text(preset).encode())
    if not (out / "data").exists():
        console.note(f"demo: writing text and a random base to {out / 'data'}")
        with atomic_folder(out / "data") as data:
            _write_korean(data)
            english = [{"id": f"python-docs-{n}", "text": text} for n, text in enumerate(documentation_strings())]
            _write_jsonl(data / "en" / "held-out.jsonl", english[::HELD_OUT_EVERY])
            _write_jsonl(data / "en" / "python-docs.jsonl", [
                row for index, row in enumerate(english) if index % HELD_OUT_EVERY
            ])  # fmt: skip
            _write_random_base(data)


def _write_korean(data: Path) -> None:
    """Copy the bundled text; every eighth clean document goes to the trace and nowhere else."""
    trace = []
    with as_file(files("redwhale") / "demo_data") as bundled:
        shutil.copytree(bundled / "kobest", data / "kobest")
        for file in sorted((bundled / "ko").glob("*.jsonl")):
            target = data / "ko" / file.name
            target.parent.mkdir(exist_ok=True)
            if file.stem.endswith("-faults"):
                shutil.copyfile(file, target)  # byte for byte: some of its lines are broken on purpose
                continue
            rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
            trace += rows[::TRACE_EVERY]
            _write_jsonl(target, [row for index, row in enumerate(rows) if index % TRACE_EVERY])
    _write_jsonl(data / "trace" / "korean.jsonl", trace)


def _write_jsonl(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def documentation_strings() -> Iterator[str]:
    """Yield documents of about 2,000 characters from the standard library's documentation strings.

    The sources are parsed, not imported: nothing of them runs.
    """
    library = Path(sysconfig.get_path("stdlib"))
    skipped = {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "turtledemo"}
    for source in sorted(library.rglob("*.py")):
        if skipped & set(source.relative_to(library).parts):
            continue
        try:
            tree = ast.parse(source.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        nodes = [node for node in ast.walk(tree) if isinstance(node, kinds)]
        document = ""
        for docstring in filter(None, (ast.get_docstring(node) for node in nodes)):
            document += docstring.strip() + "\n\n"
            if len(document) > _DOCUMENT_CHARS:
                yield document.strip()
                document = ""
        if len(document) > _DOCUMENT_CHARS // 10:
            yield document.strip()


def _write_random_base(data: Path) -> None:
    """Write a SentencePiece-BPE tokenizer of English and a Llama of random weights: d 128, 4 layers, untied."""
    import sentencepiece
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = data / "random-base"
    folder.mkdir()
    lines = [
        line
        for file in (data / "en" / "python-docs.jsonl", data / "trace" / "korean.jsonl")
        for row in file.read_text(encoding="utf-8").splitlines()
        for line in json.loads(row)["text"].splitlines()
        if line.strip()
    ]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(folder / "tokenizer"), vocab_size=BASE_VOCABULARY,
        model_type="bpe", byte_fallback=True, character_coverage=0.9985, split_digits=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, minloglevel=2, num_threads=1,
    )  # fmt: skip
    (folder / "tokenizer.vocab").unlink()
    torch.manual_seed(1234)
    config = LlamaConfig(
        vocab_size=BASE_VOCABULARY, hidden_size=128, intermediate_size=352, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=1024, tie_word_embeddings=False,
        bos_token_id=1, eos_token_id=2, pad_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
