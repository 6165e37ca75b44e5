"""Measure training on a CPU: our stages against each other and against the Trainer of transformers.

Two random models in float32 on the same real text: ``head`` (4 layers of 256, 36,000 tokens; the head is most of the
work) and ``layers`` (12 layers of 384, 8,000 tokens). Sequences of 512, passes of 2, 8 sequences an update, 2 threads.
Every row is a process of its own. All stand ready at once and take turns step by step, every second time backwards, so
that other work on the machine slows all of them alike. Printed are, one JSON line a row, tokens per second by the
median step, medians of the ratios of steps taken in one turn, and memory:

- ``trainer``: transformers' Trainer, the text concatenated and cut, everything trained by AdamW, nothing recomputed;
- ``trainer-recomputed``: the same with gradient checkpointing;
- ``full``, ``new-rows``, ``odd``, ``even``, ``lora``: stages of ours, plain engine, nothing recomputed;
- ``full-recomputed``: everything trained with ``recompute: full``, our default.

``extra_mib`` is the peak of the resident set less what was there before the first step, with the model loaded.
``ceiling`` is what the operations of a stage allow over those of ``full``.

    python scripts/bench_train.py DATA OUT [--shapes head,layers] [--rows lora,odd] [--steps 12]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SHAPES = {"head": (4, 256, 32_000, 4000), "layers": (12, 384, 7000, 1000)}
"""Layers, width, tokens of the base, new tokens."""
STAGES: dict[str, Any] = {
    "full": "full", "new-rows": {"embedding": "new", "head": "new"}, "odd": {"layers": "odd"},
    "even": {"layers": "even"}, "lora": {"lora": {"rank": 16}},
}  # fmt: skip
RECOMPUTED = "-recomputed"
ROWS = ("trainer", f"trainer{RECOMPUTED}", *STAGES, f"full{RECOMPUTED}")
LENGTH, PASS, BATCH = 512, 2, 8
THREADS = 2
READY, RESULT = "@ready ", "@result "
RATE = 1e-3


def main() -> None:
    """Prepare both models, run the rows in turn, print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shapes", default="head,layers")
    parser.add_argument("--rows", default=",".join(ROWS), help="Beside full and trainer, to which all are compared.")
    parser.add_argument("--steps", type=int, default=12, help="The first two and the last are not timed.")
    parser.add_argument("--child", nargs=2, metavar=("RECIPE", "ROW"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        recipe, row = Path(arguments.child[0]), arguments.child[1]
        run = run_trainer if row.startswith("trainer") else run_stage
        say(RESULT, json.dumps(run(recipe, row, recomputed=row.endswith(RECOMPUTED))))
        return
    for shape in arguments.shapes.split(","):
        recipe = prepare(arguments.data.resolve(), arguments.out.resolve() / shape, shape, steps=arguments.steps)
        report(shape, *take_turns(arguments, recipe))


def take_turns(
    arguments: argparse.Namespace, recipe: Path
) -> tuple[dict[str, list[float]], dict[str, dict[str, Any]]]:  # fmt: skip
    """Let all rows step in turn; return their seconds, step by step, and what each says at its end."""
    command = [sys.executable, __file__, str(arguments.data), str(arguments.out), "--child", str(recipe)]
    rows = [row for row in ROWS if row in ("full", "trainer", *arguments.rows.split(","))]
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
    with contextlib.ExitStack() as stack:
        children: dict[str, subprocess.Popen[str]] = {}
        for row in rows:
            children[row] = stack.enter_context(subprocess.Popen(
                [*command, row], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            ))  # fmt: skip
            heard(children[row], READY)  # one after the other: each locks the packed tokens while it looks at them
        seconds: dict[str, list[float]] = {row: [] for row in rows}
        for step in range(arguments.steps - 1):
            print(f"turn {step + 1} of {arguments.steps - 1}", file=sys.stderr, flush=True)
            for row in rows if step % 2 == 0 else reversed(rows):
                begun = time.perf_counter()
                go(children[row])
                heard(children[row], READY)
                seconds[row].append(time.perf_counter() - begun)
        results = {}
        for row, one in children.items():
            go(one)
            results[row] = json.loads(heard(one, RESULT))
    return {row: each[2:] for row, each in seconds.items()}, results


def go(child: subprocess.Popen[str]) -> None:
    """Let a row do its next step."""
    assert child.stdin is not None
    print("go", file=child.stdin, flush=True)


def heard(child: subprocess.Popen[str], word: str) -> str:
    """Return what a row says after ``word``; other lines are the libraries'."""
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith(word):
            return line.removeprefix(word)
    raise SystemExit(f"a row ended before it said {word}: {child.args}")


def say(word: str, text: str = "") -> None:
    """Tell the parent."""
    print(word + text, flush=True)


def wait_for_turn() -> None:
    """Say that a step is to begin, and wait until it may."""
    say(READY)
    sys.stdin.readline()


def prepare(data: Path, folder: Path, shape: str, *, steps: int) -> Path:
    """Make base, corpus, tokenizer, model 0 and packed tokens where they are not made; return the recipe."""
    layers, width, tokens, new = SHAPES[shape]
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / "base"
    if not (base / "config.json").is_file():
        make_base(data, base, layers=layers, width=width, tokens=tokens)
    sources = [
        {"name": "webnews", "language": "ko", "path": str(data / "ko" / "webnews.jsonl.gz")},
        {"name": "prose", "language": "en", "path": str(data / "en" / "prose.jsonl.gz")},
    ]
    recipe = {
        "version": 1, "name": shape, "workdir": "run", "machine": {"device": "cpu"}, "base": {"model": "base"},
        "preprocess": {"sources": sources}, "tokenizer": {"new_tokens": new}, "init": {"pad_rows_to": 1},
        "pretrain": {
            "sequence_length": LENGTH, "batch_tokens": LENGTH * BATCH, "micro_batch": PASS, "precision": "fp32",
            "recompute": False, "deepspeed": None, "mixture": {"webnews": 0.8, "prose": 0.2},
            "measure": {"documents": 1, "document_bytes": 64, "samples": 0}, "checkpoints": {"every": "1G"},
            "stages": [
                {"name": name, "train": train, "tokens": LENGTH * BATCH * steps, "learning_rate": RATE}
                for name, train in STAGES.items()
            ],
        },
    }  # fmt: skip
    path = folder / "recipe.json"
    path.write_text(json.dumps(recipe, indent=1), encoding="utf-8")  # JSON is YAML
    for command in ("preprocess", "train-tokenizer", "init-model", "pack"):
        subprocess.run([sys.executable, "-m", "redwhale", command, "-c", str(path), "-q"], check=True)
    return path


def make_base(data: Path, folder: Path, *, layers: int, width: int, tokens: int) -> None:
    """Write a random Llama and a SentencePiece tokenizer of English for it."""
    import gzip

    import sentencepiece
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with gzip.open(data / "en" / "prose.jsonl.gz", "rt", encoding="utf-8") as file:
        lines = [line for record in file for line in json.loads(record)["text"].splitlines()]
    folder.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(folder / "tokenizer"), vocab_size=tokens, model_type="bpe",
        byte_fallback=True, hard_vocab_limit=False, normalization_rule_name="identity",
        remove_extra_whitespaces=False, minloglevel=2, num_threads=THREADS,
    )  # fmt: skip
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True})
    )
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(
        vocab_size=tokens, hidden_size=width, intermediate_size=width * 8 // 3 // 64 * 64, num_hidden_layers=layers,
        num_attention_heads=width // 64, num_key_value_heads=width // 64, max_position_embeddings=2048,
        tie_word_embeddings=False,
    )).save_pretrained(folder)  # fmt: skip


def run_stage(path: Path, row: str, *, recomputed: bool) -> dict[str, Any]:
    """Train one of our stages from model 0; return its numbers."""
    import shutil

    import torch

    from redwhale.core.console import Console
    from redwhale.core.recipe.load import load_recipe
    from redwhale.training import step
    from redwhale.training.batch import Batcher
    from redwhale.training.estimate.plan import plan_stage
    from redwhale.training.estimate.shape import ShapeReader
    from redwhale.training.meter import forget_peak, peak_memory_bytes

    cpu = torch.device("cpu")
    whole = load_recipe(path)
    section = whole.need("pretrain").model_dump()
    stage = section["stages"][list(STAGES).index(row.removesuffix(RECOMPUTED))] | {"name": row}
    section |= {"stages": [stage], "recompute": "full" if recomputed else "none"}
    recipe = whole.changed(pretrain=section, workdir=str(whole.root))
    shutil.rmtree(recipe.stage_folder(0), ignore_errors=True)
    marks: list[int] = []
    data_seconds: list[float] = []
    cut = Batcher.step

    def mark(model: object, tokenizer: object) -> dict[str, Any]:
        marks.append(peak_memory_bytes(cpu) if marks else resident_bytes())
        forget_peak(cpu)
        return {}

    def cut_in_turn(self: Batcher, number: int) -> Any:
        if data_seconds:  # the first call shows the first batch, before any step
            wait_for_turn()
        begun = time.perf_counter()
        batches = cut(self, number)
        data_seconds.append(time.perf_counter() - begun)
        return batches

    Batcher.step = cut_in_turn  # type: ignore[method-assign]
    manifest = step.run(recipe, 0, console=Console(quiet=True), after=mark)
    planned = plan_stage(recipe.need("pretrain"), 0, shape=ShapeReader(recipe).read(0), devices=1, card=None)
    return {
        "extra_mib": (marks[-1] - marks[0]) / 2**20, "flop_per_token": planned.work.hardware_flops,
        "data_seconds": statistics.median(data_seconds), "trained": manifest.counts["trainable_parameters"],
        "checkpoint_seconds": manifest.metrics["seconds"]["checkpoints"],
    }  # fmt: skip


def run_trainer(path: Path, row: str, *, recomputed: bool) -> dict[str, Any]:
    """Train model 0 with transformers' Trainer on the same tokens, concatenated and cut."""
    import torch
    from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

    from redwhale.core.recipe.load import load_recipe
    from redwhale.training.data import TokenStore
    from redwhale.training.meter import forget_peak, peak_memory_bytes

    recipe, cpu = load_recipe(path), torch.device("cpu")
    steps = recipe.need("pretrain").stages[0].tokens // (LENGTH * BATCH)
    tokens = TokenStore.open(recipe.tokens_folder).sources[0].tokens
    rows = [tokens[i * LENGTH : (i + 1) * LENGTH].astype("int64") for i in range(steps * BATCH)]
    dataset = [{"input_ids": torch.from_numpy(row), "labels": torch.from_numpy(row)} for row in rows]
    model = AutoModelForCausalLM.from_pretrained(recipe.model_0_folder, attn_implementation="sdpa")

    class Turns(TrainerCallback):
        def on_step_begin(self, *arguments: Any, **options: Any) -> None:
            wait_for_turn()

    settings = TrainingArguments(
        output_dir=str(path.parent / row), per_device_train_batch_size=PASS, max_steps=steps, use_cpu=True,
        gradient_accumulation_steps=BATCH // PASS, learning_rate=RATE, adam_beta2=0.95, weight_decay=0.1,
        max_grad_norm=1.0, save_strategy="no", logging_strategy="no", report_to=[], disable_tqdm=True,
        gradient_checkpointing=recomputed, gradient_checkpointing_kwargs={"use_reentrant": False},
    )  # fmt: skip
    trainer = Trainer(model=model, args=settings, train_dataset=dataset, callbacks=[Turns()])
    before = resident_bytes()
    forget_peak(cpu)
    trainer.train()
    return {"extra_mib": (peak_memory_bytes(cpu) - before) / 2**20}


def resident_bytes() -> int:
    """Return the resident set as it is now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def report(shape: str, seconds: dict[str, list[float]], results: dict[str, dict[str, Any]]) -> None:
    """Print each row's numbers, and its ratios to ``full`` and ``trainer``."""
    for row, result in results.items():
        shown: dict[str, Any] = {
            "shape": shape, "row": row, "tokens_per_second": round(LENGTH * BATCH / statistics.median(seconds[row]), 1),
            "extra_mib": round(result["extra_mib"], 1),
        }  # fmt: skip
        for peer in ("full", "trainer"):
            ratios = sorted(its / mine for mine, its in zip(seconds[row], seconds[peer], strict=True))
            shown |= {
                f"over_{peer}": round(statistics.median(ratios), 3),
                f"over_{peer}_quartiles": [round(ratios[len(ratios) * i // 4], 3) for i in (1, 3)],
                f"memory_over_{peer}": round(result["extra_mib"] / results[peer]["extra_mib"], 3),
            }
        if "flop_per_token" in result:
            shown |= {
                "operations_allow": round(results["full"]["flop_per_token"] / result["flop_per_token"], 3),
                "data_share": round(result["data_seconds"] / statistics.median(seconds[row]), 5),
                "checkpoint_mb": round(result["trained"] * 12 / 1e6),
                "checkpoint_seconds": round(result["checkpoint_seconds"], 2),
            }
        print(json.dumps(shown), flush=True)


if __name__ == "__main__":
    main()
