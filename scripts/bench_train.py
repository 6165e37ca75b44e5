"""Measure training on a CPU: our stages against each other and against the Trainer of transformers.

Two random models in float32 on the same real text: ``head`` (4 layers of 256, 36,000 tokens; the head is most of the
work) and ``layers`` (12 layers of 384, 8,000 tokens). Sequences of 512, passes of 2, 8 sequences an update, 2 threads.
Every row is a process of its own; rows take turns for ``--rounds`` rounds, and medians over rounds of medians over
steps are printed, one JSON line a row:

- ``trainer``: transformers' Trainer, the text concatenated and cut, everything trained by AdamW, nothing recomputed;
- ``full``, ``new-rows``, ``odd``, ``even``, ``lora``: stages of ours, plain engine.

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
ROWS = ("trainer", *STAGES)
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
        print(json.dumps(run_trainer(recipe, arguments.steps) if row == "trainer" else run_stage(recipe, row)))
        return
    for shape in arguments.shapes.split(","):
        recipe = prepare(arguments.data.resolve(), arguments.out.resolve() / shape, shape, steps=arguments.steps)
        found: dict[str, list[dict[str, float]]] = {row: [] for row in ROWS}
        for _ in range(arguments.rounds):
            for row in ROWS:
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


def child(arguments: argparse.Namespace, recipe: Path, row: str) -> dict[str, float]:
    """Run one row in a process of its own."""
    command = [sys.executable, __file__, str(arguments.data), str(arguments.out), "--steps", str(arguments.steps)]
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
    done = subprocess.run(
        [*command, "--child", str(recipe), row], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def run_stage(path: Path, row: str) -> dict[str, float]:
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
    recipe = whole.changed(pretrain=section | {"stages": [section["stages"][index]]}, workdir=str(whole.root))
    shutil.rmtree(recipe.stage_folder(0), ignore_errors=True)
    marks: list[int] = []

    def mark(model: object, tokenizer: object) -> dict[str, Any]:
        marks.append(peak_memory_bytes(cpu) if marks else resident_bytes())
        forget_peak(cpu)
        return {}

    manifest = step.run(recipe, 0, console=Console(quiet=True), after=mark)
    lines = (recipe.stage_folder(0) / "metrics.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if "loss" in row][1:]
    seconds = statistics.median(row["seconds"] for row in rows)
    tflops = rows[0]["tflops"] / rows[0]["tokens_per_second"]
    return {
        "tokens_per_second": LENGTH * BATCH / seconds, "extra_mib": (marks[-1] - marks[0]) / 2**20,
        "tflop_per_token": tflops, "data_share": statistics.median(row["data_seconds"] for row in rows) / seconds,
        "checkpoint_seconds": manifest.metrics["seconds"]["checkpoints"],
    }  # fmt: skip


def run_trainer(path: Path, steps: int) -> dict[str, float]:
    """Train model 0 with transformers' Trainer on the same tokens, concatenated and cut."""
    import torch
    from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

    from redwhale.core.recipe.load import load_recipe
    from redwhale.training.data import TokenStore
    from redwhale.training.meter import forget_peak, peak_memory_bytes

    recipe, cpu = load_recipe(path), torch.device("cpu")
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
    )  # fmt: skip
    trainer = Trainer(model=model, args=settings, train_dataset=dataset, callbacks=[Clock()])
    before = resident_bytes()
    forget_peak(cpu)
    trainer.train()
    seconds = statistics.median(after - earlier for earlier, after in itertools.pairwise(times))
    return {
        "tokens_per_second": LENGTH * BATCH / seconds, "extra_mib": (peak_memory_bytes(cpu) - before) / 2**20,
    }  # fmt: skip


def resident_bytes() -> int:
    """Return the resident set as it is now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def report(shape: str, found: dict[str, list[dict[str, float]]]) -> None:
    """Print medians of each row, and ratios to ``full`` and ``trainer``."""
    middle = {
        row: {key: statistics.median(one[key] for one in rounds) for key in rounds[0]} for row, rounds in found.items()
    }
    full, trainer = middle["full"], middle["trainer"]
    for row, numbers in middle.items():
        speeds = [one["tokens_per_second"] for one in found[row]]
        more: dict[str, Any] = {"over_full": round(numbers["tokens_per_second"] / full["tokens_per_second"], 3)}
        if row == "full":
            more |= {
                "over_trainer": round(numbers["tokens_per_second"] / trainer["tokens_per_second"], 3),
                "extra_memory_over_trainer": round(numbers["extra_mib"] / trainer["extra_mib"], 3),
            }
        if "tflop_per_token" in numbers:
            more["ceiling"] = round(full["tflop_per_token"] / numbers["tflop_per_token"], 3)
        places = {"data_share": 5, "tflop_per_token": 8}
        shown = {key: round(value, places.get(key, 1)) for key, value in numbers.items()}
        print(json.dumps({"shape": shape, "row": row} | shown | more | {
            "slowest": round(min(speeds), 1), "fastest": round(max(speeds), 1),
        }), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
