"""Compare ways of continual pretraining on a small real English base: equal text and equal operations.

Every arm adapts ``models/english-20m`` to Korean; all read one corpus, and all but ``plain`` one tokenizer with 4,000
new tokens. One rate is the peak of every part in every arm; ``everything-low`` and ``everything-high`` show what half
and twice of it do. Two budgets:

- ``text``: the same number of tokens of the extended vocabulary, hence the same bytes; ``plain`` gets as many of its
  own, shorter tokens as spell as many bytes of every source;
- ``work``: the floating-point operations that ``everything`` spends on its text.

``english-only`` is the base going on with the English of that text alone (budget ``replay``).

Each finished arm is a JSON line in ROWS; an arm that stands there is not run again, so the same command goes on, on
another machine too. Prints the tables as Markdown.

    python scripts/study_stages.py DATA OUT [--rows ROWS] [--tokens 400000] [--seed 1] [--arms plain,everything ...]
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RATE = 1e-3
SEQUENCE, BATCH, MICRO_BATCH = 256, 2048, 8
REPLAY = 0.25
KOREAN = {"webnews": 0.3, "wiki": 0.125, "law": 0.2, "cppdocs": 0.125, "reviews": 0.25}
ENGLISH = {"english": 0.6, "english-docs": 0.4}
BUDGETS = ("text", "work", "replay")
FULL = "full"
NEW, ALL = "new", "all"


@dataclass(frozen=True)
class Arm:
    """One way to train: stages as (parts, share of the tokens), and what the model is made like."""

    stages: list[tuple[Any, float]]
    init: dict[str, Any] = field(default_factory=dict)
    extended: bool = True
    replay: float = REPLAY
    rate: float = RATE
    budgets: tuple[str, ...] = ("text", "work")
    anneal: float = 0.0
    """Share of the tokens at the end over which the rate falls (warmup-stable-decay); 0: cosine in every stage."""


EEVE = [
    ({"embedding": NEW}, 0.1), ({"head": NEW}, 0.1), ({"embedding": NEW, "head": NEW}, 0.1), ({"head": ALL}, 0.1),
    ({"embedding": NEW, "head": ALL}, 0.1), ({"embedding": NEW, "head": ALL, "lora": {"rank": 32}}, 0.35),
    ({"lora": {"rank": 32}}, 0.15),
]  # fmt: skip
ROWS_AND_HEAD = {"embedding": ALL, "head": ALL}
ARMS = {
    "english-only": Arm([(FULL, 1.0)], extended=False, replay=1.0, budgets=("replay",)),
    "everything": Arm([(FULL, 1.0)], budgets=("text",)),
    "plain": Arm([(FULL, 1.0)], extended=False),
    "redwhale": Arm(
        [(ROWS_AND_HEAD, 0.2), ({"layers": "odd"}, 0.3), ({"layers": "even"}, 0.3), ({"lora": {"rank": 32}}, 0.2)],
        init={"method": "redwhale"},
    ),
    "eeve": Arm(EEVE, init={"method": "eeve"}),
    "first-last": Arm([(ROWS_AND_HEAD, 0.2), ({"layers": "first-last:1", **ROWS_AND_HEAD}, 0.8)]),
    "added-blocks": Arm(
        [(ROWS_AND_HEAD, 0.2), ({"layers": "added", **ROWS_AND_HEAD}, 0.8)],
        init={"add_layers": {"count": 2, "how": "identity"}},
    ),
    "everything-low": Arm([(FULL, 1.0)], rate=RATE / 2, budgets=("text",)),
    "everything-high": Arm([(FULL, 1.0)], rate=RATE * 2, budgets=("text",)),
    "replay-0": Arm([(FULL, 1.0)], replay=0.0, budgets=("text",)),
    "replay-10": Arm([(FULL, 1.0)], replay=0.1, budgets=("text",)),
    "own": Arm([({"embedding": NEW, "head": NEW}, 0.1), (FULL, 0.9)], anneal=0.3),
}


def main() -> None:
    """Run the arms that are not done and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=Path, help="file of finished arms; OUT/rows.jsonl by default")
    parser.add_argument("--tokens", type=int, default=400_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--arms", default=",".join(ARMS))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = arguments.rows or arguments.out / "rows.jsonl"
    study = Study(arguments.data.resolve(), arguments.out.resolve(), tokens=arguments.tokens, seed=arguments.seed)
    wanted = [
        (name, budget) for budget in BUDGETS for name in arguments.arms.split(",") if budget in ARMS[name].budgets
    ]
    for name, budget in wanted:
        if not any(study.is_this(row, name, budget) for row in read_rows(rows)):
            row = study.run_arm(name, budget)
            with rows.open("a", encoding="utf-8") as out:
                out.write(json.dumps(row) + "\n")
    print_tables([row for row in read_rows(rows) if row["tokens_of_text"] == study.tokens])


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the finished arms."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


class Study:
    """Recipes of one seed and amount of text under one folder."""

    def __init__(self, data: Path, out: Path, *, tokens: int, seed: int) -> None:
        self.data, self.out, self.tokens, self.seed = data, out, tokens, seed
        for extended in (True, False):
            name = vocabulary_name(extended)
            self.write(name, self.recipe(name, Arm([(FULL, 1.0)], extended=extended), tokens=tokens))
            for command in ("preprocess", "train-tokenizer", "pack"):
                redwhale(command, "-c", str(self.path(name)), "-q")
        self.ratios = self.base_tokens_per_token()

    def is_this(self, row: dict[str, Any], name: str, budget: str) -> bool:
        """Return whether a finished row is this arm of this study."""
        mine = {"arm": name, "budget": budget, "seed": self.seed, "tokens_of_text": self.tokens}
        return mine.items() <= row.items()

    def path(self, name: str) -> Path:
        """Return the recipe file of an arm."""
        return self.out / f"{name}-{self.seed}.yaml"

    def write(self, name: str, recipe: dict[str, Any]) -> None:
        """Write a recipe; JSON is YAML."""
        self.path(name).write_text(json.dumps(recipe, indent=1), encoding="utf-8")

    def base_tokens_per_token(self) -> dict[str, float]:
        """Return, by source, how many tokens of the base spell what one token of the extended vocabulary does."""
        tokens = []
        for extended in (False, True):
            folder = self.out / f"{vocabulary_name(extended)}-{self.seed}" / "tokens"
            tokens.append(json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["metrics"]["tokens"])
        return {name: tokens[0][name] / tokens[1][name] for name in KOREAN | ENGLISH}

    def mixture(self, arm: Arm) -> tuple[dict[str, float], float]:
        """Return the shares of the sources, and how many tokens of the arm's vocabulary one extended token is."""
        shares = {name: share * (1 - arm.replay) for name, share in KOREAN.items() if arm.replay < 1}
        shares |= {name: share * arm.replay for name, share in ENGLISH.items() if arm.replay > 0}
        if not arm.extended:
            shares = {name: share * self.ratios[name] for name, share in shares.items()}
        total = sum(shares.values())
        return {name: share / total for name, share in shares.items()}, total

    def recipe(self, name: str, arm: Arm, *, tokens: int, mixture: dict[str, float] | None = None) -> dict[str, Any]:
        """Return the recipe of an arm; corpus and vocabulary are made once for all."""
        shared, own = vocabulary_name(arm.extended), name == vocabulary_name(arm.extended)
        corpus = {"existing": f"{vocabulary_name(True)}-{self.seed}/corpus"}
        made = {"new_tokens": 4000} if arm.extended else {"new_tokens": 0}
        return {
            "version": 1, "name": name, "workdir": f"{name}-{self.seed}", "seed": self.seed,
            "machine": {"device": "cpu"}, "base": {"model": str(self.data / "models" / "english-20m")},
            "preprocess": self.corpus() if own and arm.extended else corpus,
            "tokenizer": made if own else {"existing": f"{shared}-{self.seed}/tokenizer"}, "init": arm.init,
            "pretrain": {
                "sequence_length": SEQUENCE, "batch_tokens": BATCH, "micro_batch": MICRO_BATCH,
                "mixture": mixture or {}, "precision": "fp32", "recompute": "none", "deepspeed": None,
                "measure": {"documents": 60, "document_bytes": 512, "samples": 0},
                "stages": stages(arm, tokens),
            } | ({} if own else {"packed": f"{shared}-{self.seed}/tokens"}),
        }  # fmt: skip

    def corpus(self) -> dict[str, Any]:
        """Return the section of the corpus."""
        files = {
            "english": ("prose", "0%"),
            "english-docs": ("cppdocs", "0%"),
            "english-held-out": ("held_out", "100%"),
        }
        korean = [{"name": one, "language": "ko", "path": str(self.data / "ko" / f"{one}.jsonl.gz")} for one in KOREAN]
        english = [
            {"name": one, "language": "en", "path": str(self.data / "en" / f"{file}.jsonl.gz"),
             "held_out": {"fraction": share}}
            for one, (file, share) in files.items()
        ]  # fmt: skip
        return {"sources": korean + english, "held_out": {"fraction": "2%", "at_most": 100}}

    def run_arm(self, name: str, budget: str) -> dict[str, Any]:
        """Train an arm within a budget; return what it cost and what it reached."""
        arm = ARMS[name]
        mixture, longer = self.mixture(arm)
        tokens = round(self.tokens * longer * (REPLAY if budget == "replay" else 1.0))
        label = f"{name}-{budget}"
        self.write(label, self.recipe(label, arm, tokens=tokens, mixture=mixture))
        if budget == "work":
            tokens = round(tokens * self.flops(vocabulary_name(True)) / self.flops(label))
            self.write(label, self.recipe(label, arm, tokens=tokens, mixture=mixture))
        redwhale("run", "-c", str(self.path(label)))
        row = {
            "arm": name, "budget": budget, "seed": self.seed, "tokens_of_text": self.tokens, "rate": arm.rate,
            "replay": arm.replay,
        } | self.row(label)  # fmt: skip
        shutil.rmtree(self.out / f"{label}-{self.seed}")
        return row

    def flops(self, label: str) -> float:
        """Return the operations of all stages of a recipe, as planned."""
        planned = json.loads(redwhale("plan", "-c", str(self.path(label)), "--json"))["stages"]
        return sum(one["tokens"] * one["model_flops_per_token"] for one in planned)

    def row(self, label: str) -> dict[str, Any]:
        """Return the figures of a finished arm."""
        folders = (self.out / f"{label}-{self.seed}").glob("stage-*")
        found = [json.loads((one / "manifest.json").read_text(encoding="utf-8")) for one in sorted(folders)]
        metrics = [manifest["metrics"] for manifest in found]
        speeds = [one["tokens_per_second"] for one in metrics]  # 0 where all steps were an earlier process's
        seconds = None
        if all(speeds):
            tokens = (manifest["counts"]["tokens"] for manifest in found)
            seconds = round(sum(count / speed for count, speed in zip(tokens, speeds, strict=True)), 1)
        return {
            "tokens": sum(manifest["counts"]["tokens"] for manifest in found), "flops": self.flops(label),
            "epochs": {name: round(one["epochs"], 3) for name, one in found[-1]["counts"]["realised_mixture"].items()},
            "start": bits(metrics[0]["start"]), "stages": [bits(one["end"]) for one in metrics],
            "base_english": metrics[0]["base_english"], "threads": metrics[0]["threads"],
            "training_seconds": seconds,
            "peak_bytes": max(one["peak_memory_bytes"] for one in metrics),
            "skipped": sum(manifest["counts"]["skipped_updates"] for manifest in found),
        }  # fmt: skip


def bits(measured: dict[str, Any]) -> dict[str, float]:
    """Return bits per byte of Korean and English."""
    return {language: measured["bits_per_byte"]["language"][language] for language in ("ko", "en")}


def stages(arm: Arm, tokens: int) -> list[dict[str, Any]]:
    """Return the stages of an arm; the rate falls in each, or only at the end of the last."""
    last = len(arm.stages) - 1
    made = []
    for number, (train, share) in enumerate(arm.stages):
        stage = {"name": f"s{number + 1}", "train": train, "tokens": round(tokens * share), "learning_rate": arm.rate}
        if arm.anneal and number < last:
            stage |= {"schedule": "constant"}
        elif arm.anneal:
            stage |= {
                "schedule": "warmup-stable-decay",
                "decay": round(arm.anneal / share, 4),
                "final_learning_rate": 0.0,
            }
        made.append(stage)
    return made


def vocabulary_name(extended: bool) -> str:
    """Return the name of the recipe that makes a vocabulary."""
    return "extended" if extended else "base"


def redwhale(*arguments: str) -> str:
    """Run a command of redwhale; return what it prints."""
    command = [sys.executable, "-m", "redwhale", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def print_tables(rows: list[dict[str, Any]]) -> None:
    """Print what each arm reached, the best Korean of a budget first."""
    for budget in BUDGETS:
        chosen = sorted((row for row in rows if row["budget"] == budget), key=lambda row: row["stages"][-1]["ko"])
        if not chosen:
            continue
        print(f"\nBudget: {budget}\n")
        print("| arm | seed | tokens | TFLOP | ko | en | en over the base | training s | GiB | after each stage |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        for row in chosen:
            end = row["stages"][-1]
            between = ", ".join(f"{one['ko']:.3f} / {one['en']:.3f}" for one in [row["start"], *row["stages"]])
            seconds = f"{row['training_seconds']:,.0f}" if row.get("training_seconds") else ""
            print(
                f"| {row['arm']} | {row['seed']} | {row['tokens']:,} | {row['flops'] / 1e12:.1f} | {end['ko']:.4f} | "
                f"{end['en']:.4f} | {end['en'] / row['base_english'] - 1:+.1%} | {seconds} | "
                f"{row['peak_bytes'] / 2**30:.2f} | {between} |"
            )


if __name__ == "__main__":
    main()
