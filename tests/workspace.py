"""A pico workspace for tests of the whole chain: base, text, KoBEST mini set and recipe."""

import json
import subprocess
import sys
from pathlib import Path

from tests import pico

RECIPE = """\
version: 1
name: pico
workdir: run
machine: {workers: 1, device: cpu}
base: {model: base}
preprocess:
  sources:
    - {name: stories, language: ko, path: ko.jsonl}
    - {name: docs, language: en, path: en.txt, filters: "off"}
  filters: {max_top_2_gram: null, max_top_3_gram: null, max_top_4_gram: null}
  held_out: {fraction: 10%}
  deduplicate: {near: null}
tokenizer: {new_tokens: 40, min_count: 2, syllable_coverage: 0.9}
init: {pad_rows_to: 8}
pretrain:
  sequence_length: 64
  batch_tokens: 256
  micro_batch: 2
  mixture: {stories: 0.8, docs: 0.2}
  precision: fp32
  recompute: false
  deepspeed: null
  checkpoints: {every: 512}
  measure: {documents: 4, document_bytes: 128, kobest_questions: 1}
  stages:
    - {name: embeddings, train: {embedding: new, head: all}, tokens: 1k, learning_rate: 1e-2}
    - {name: odd, train: {layers: odd}, tokens: 1k, learning_rate: 1e-2}
    - {name: lora, train: {lora: {rank: 2}}, tokens: 1k, learning_rate: 1e-2}
evaluate:
  kobest: {data: kobest, shots: 1, limit: 2}
  bits_per_byte: {documents: 4, document_bytes: 128}
"""


def redwhale(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "redwhale", *arguments], capture_output=True, text=True, cwd=cwd, env=env
    )


def make_workspace(folder: Path) -> Path:
    """Write base model, Korean and English text, KoBEST mini set and ``redwhale.yaml`` to ``folder``."""
    base = pico.make_spm_base(folder / "base")
    pico.make_llama(base, rows=pico.token_count(base))
    rows = [json.dumps({"id": str(i), "text": t}, ensure_ascii=False) for i, t in enumerate(pico.korean_documents(120))]
    (folder / "ko.jsonl").write_text("\n".join(rows), encoding="utf-8")
    (folder / "en.txt").write_text("\n\n".join(pico.english_lines()[:400]), encoding="utf-8")
    (folder / "kobest").symlink_to(Path(__file__).parents[1] / "redwhale" / "demo_data" / "kobest")
    (folder / "redwhale.yaml").write_text(RECIPE, encoding="utf-8")
    return folder
