"""Measure training on a CPU: our stages against each other and against the Trainer of transformers.

Two random models in float32 on the same real text: ``head`` (4 layers of 256, 36,000 tokens; the head is most of the
work) and ``layers`` (12 layers of 384, 8,000 tokens). Sequences of 512, passes of 2, 8 sequences an update, 2 threads.
Every row is a process of its own; rows take turns for ``--rounds`` rounds, every second one backwards. Printed are, one
JSON line a row, medians over rounds of medians over steps, ratios within a round (their median), and ratios of the
fastest steps of all, which other work on the machine spoils least:

- ``trainer``: transformers' Trainer, the text concatenated and cut, everything trained by AdamW, nothing recomputed;
- ``trainer-recomputed``: the same with gradient checkpointing;
- ``full``, ``new-rows``, ``odd``, ``even``, ``lora``: stages of ours, plain engine, nothing recomputed;
- ``full-recomputed``: everything trained with ``recompute: full``, our default.

``extra_mib`` is the peak of the resident set less what was there before the first step, with the model loaded.
``ceiling`` is what the operations of a stage allow over those of ``full``.

    python scripts/bench_train.py DATA OUT [--shapes head,layers] [--rounds 3] [--steps 8]
"""

from __future__ import annotations

import argparse
import itertools
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
RATE = 1e-3


def main() -> None:
    """Prepare both models, run the rows in turn, print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shapes", default="head,layers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--child", nargs=2, metavar=("RECIPE", "ROW"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        recipe, row = Path(arguments.child[0]), arguments.child[1]
        run = run_trainer if row.startswith("trainer") else run_stage
        print(json.dumps(run(recipe, row.removesuffix(RECOMPUTED), recomputed=row.endswith(RECOMPUTED))))
        return
    for shape in arguments.shapes.split(","):
        recipe = prepare(arguments.data.resolve(), arguments.out.resolve() / shape, shape, steps=arguments.steps)
        found: dict[str, list[dict[str, Any]]] = {row: [] for row in ROWS}
        for number in range(arguments.rounds):
            for row in ROWS if number % 2 == 0 else reversed(ROWS):
                found[row].append(child(arguments, recipe, row))
        report(shape, found)


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


def child(arguments: argparse.Namespace, recipe: Path, row: str) -> dict[str, Any]:
    """Run one row in a process of its own."""
    command = [sys.executable, __file__, str(arguments.data), str(arguments.out), "--steps", str(arguments.steps)]
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
    done = subprocess.run(
        [*command, "--child", str(recipe), row], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def run_stage(path: Path, row: str, *, recomputed: bool) -> dict[str, Any]:
    """Train one of our stages from model 0; return its numbers."""
    import shutil

    import torch

    from redwhale.core.console import Console
    from redwhale.core.recipe.load import load_recipe
    from redwhale.training import step
    from redwhale.training.meter import forget_peak, peak_memory_bytes

    cpu = torch.device("cpu")
    whole = load_recipe(path)
    index = list(STAGES).index(row)
    section = whole.need("pretrain").model_dump()
    section |= {"stages": [section["stages"][index]], "recompute": "full" if recomputed else "none"}
    recipe = whole.changed(pretrain=section, workdir=str(whole.root))
    shutil.rmtree(recipe.stage_folder(0), ignore_errors=True)
    marks: list[int] = []

    def mark(model: object, tokenizer: object) -> dict[str, Any]:
        marks.append(peak_memory_bytes(cpu) if marks else resident_bytes())
        forget_peak(cpu)
        return {}

    manifest = step.run(recipe, 0, console=Console(quiet=True), after=mark)
    lines = (recipe.stage_folder(0) / "metrics.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if "loss" in row][1:]
    tflops = rows[0]["tflops"] / rows[0]["tokens_per_second"]
    return {
        "seconds": [row["seconds"] for row in rows], "extra_mib": (marks[-1] - marks[0]) / 2**20,
        "tflop_per_token": tflops, "data_seconds": statistics.median(row["data_seconds"] for row in rows),
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
    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *arguments: Any, **options: Any) -> None:
            times.append(time.perf_counter())

    settings = TrainingArguments(
        output_dir=str(path.parent / "trainer"), per_device_train_batch_size=PASS, max_steps=steps, use_cpu=True,
        gradient_accumulation_steps=BATCH // PASS, learning_rate=RATE, adam_beta2=0.95, weight_decay=0.1,
        max_grad_norm=1.0, save_strategy="no", logging_strategy="no", report_to=[], disable_tqdm=True,
        gradient_checkpointing=recomputed, gradient_checkpointing_kwargs={"use_reentrant": False},
    )  # fmt: skip
    trainer = Trainer(model=model, args=settings, train_dataset=dataset, callbacks=[Clock()])
    before = resident_bytes()
    forget_peak(cpu)
    trainer.train()
    return {
        "seconds": [after - earlier for earlier, after in itertools.pairwise(times)],
        "extra_mib": (peak_memory_bytes(cpu) - before) / 2**20,
    }  # fmt: skip


def resident_bytes() -> int:
    """Return the resident set as it is now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def report(shape: str, found: dict[str, list[dict[str, Any]]]) -> None:
    """Print each row's medians, and its ratios to ``full`` and ``trainer``."""
    speeds = {
        row: [LENGTH * BATCH / statistics.median(one["seconds"]) for one in rounds] for row, rounds in found.items()
    }
    fastest = {row: LENGTH * BATCH / min(min(one["seconds"]) for one in rounds) for row, rounds in found.items()}
    extra = {row: statistics.median(one["extra_mib"] for one in rounds) for row, rounds in found.items()}
    work = found["full"][0]["tflop_per_token"]
    for row, rounds in found.items():
        shown: dict[str, Any] = {
            "shape": shape, "row": row, "tokens_per_second": round(statistics.median(speeds[row]), 1),
            "fastest_step": round(fastest[row], 1), "extra_mib": round(extra[row], 1),
        }  # fmt: skip
        for peer in ("full", "trainer"):
            ratios = [mine / its for mine, its in zip(speeds[row], speeds[peer], strict=True)]
            shown |= {
                f"over_{peer}": round(statistics.median(ratios), 3),
                f"over_{peer}_fastest": round(fastest[row] / fastest[peer], 3),
                f"memory_over_{peer}": round(extra[row] / extra[peer], 3),
            }
        if not row.startswith("trainer"):
            seconds = statistics.median(rounds[0]["seconds"])
            shown |= {
                "operations_allow": round(work / rounds[0]["tflop_per_token"], 3),
                "data_share": round(rounds[0]["data_seconds"] / seconds, 5),
                "checkpoint_seconds": round(rounds[0]["checkpoint_seconds"], 2),
            }
        print(json.dumps(shown), flush=True)


if __name__ == "__main__":
    main()
