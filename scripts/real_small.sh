#!/usr/bin/env bash
# Run the whole chain on real text and a real small English base, on a CPU, and keep the evidence.
#
#   scripts/real_small.sh DATA_DIR OUT_DIR
#
# DATA_DIR holds ko/*.jsonl.gz, en/*.jsonl.gz, kobest/ and models/english-20m. OUT_DIR gets two recipes and
# all results: `korean` (4,000 new tokens, four stages under DeepSpeed) and `english` (the same base simply
# continued on the English tokens alone, the control for English kept). The same command again resumes.
set -euo pipefail
if [ $# -ne 2 ]; then
  echo "usage: scripts/real_small.sh DATA_DIR OUT_DIR" >&2
  exit 2
fi
data=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
here=$(cd "$(dirname "$0")/.." && pwd)
redwhale=${REDWHALE:-$here/.venv/bin/redwhale}

cat > "$out/korean.yaml" <<YAML
version: 1
name: real-small
workdir: korean
seed: 1234
machine: {device: cpu}
base: {model: $data/models/english-20m}
preprocess:
  sources:
    - {name: webnews, language: ko, path: "$data/ko/webnews.jsonl.gz", licence: third-party}
    - {name: wiki, language: ko, path: "$data/ko/wiki.jsonl.gz", licence: MIT}
    - {name: law, language: ko, path: "$data/ko/law.jsonl.gz", licence: KOGL}
    - {name: cppdocs, language: ko, path: "$data/ko/cppdocs.jsonl.gz", licence: CC-BY-4.0}
    - {name: reviews, language: ko, path: "$data/ko/reviews.jsonl.gz", licence: CC0-1.0}
    - {name: english, language: en, path: "$data/en/prose.jsonl.gz", licence: mixed, held_out: {fraction: 0%}}
    - {name: english-docs, language: en, path: "$data/en/cppdocs.jsonl.gz", licence: CC-BY-4.0, held_out: {fraction: 0%}}
    - {name: english-held-out, language: en, path: "$data/en/held_out.jsonl.gz", licence: mixed, held_out: {fraction: 100%}}
  held_out: {fraction: 2%, at_most: 100}
tokenizer: {method: continued, new_tokens: 4000, sample: 24MB}
init: {embedding: decompose-mean, head: decompose-mean, pad_rows_to: 64}
pretrain:
  sequence_length: 256
  batch_tokens: 8192
  micro_batch: 16
  mixture: {webnews: 0.25, wiki: 0.1, law: 0.15, cppdocs: 0.1, reviews: 0.2, english: 0.12, english-docs: 0.08}
  precision: fp32
  recompute: false
  deepspeed: {zero: 2, offload: none}
  checkpoints: {every: 200k, keep: 2}
  measure: {documents: 40, document_bytes: 512}
  stages:
    - {name: embeddings, train: {embedding: all, head: all}, tokens: 260k, learning_rate: 2e-3}
    - {name: odd, train: {layers: odd}, tokens: 260k, learning_rate: 1e-3}
    - {name: even, train: {layers: even}, tokens: 260k, learning_rate: 1e-3}
    - {name: lora, train: {lora: {rank: 32}}, tokens: 200k, learning_rate: 1e-3}
evaluate:
  kobest: {data: "$data/kobest", shots: 0}
  bits_per_byte: {documents: 100, document_bytes: 512}
YAML

# The control: the same base, its own vocabulary, the English tokens that the four stages see (20 % of 980k).
cat > "$out/english.yaml" <<YAML
version: 1
name: real-small-english-only
workdir: english
seed: 1234
machine: {device: cpu}
base: {model: $data/models/english-20m}
preprocess: {existing: korean/corpus}
tokenizer: {new_tokens: 0}
init: {pad_rows_to: 1}
pretrain:
  sequence_length: 256
  batch_tokens: 8192
  micro_batch: 16
  mixture: {english: 0.6, english-docs: 0.4}
  precision: fp32
  recompute: false
  deepspeed: {zero: 2, offload: none}
  measure: {documents: 40, document_bytes: 512}
  stages:
    - {name: english, train: full, tokens: 196k, learning_rate: 1e-3}
evaluate:
  bits_per_byte: {documents: 100, document_bytes: 512}
YAML

started=$(date +%s)
for recipe in korean english; do
  echo "== $recipe"
  "$redwhale" run -c "$out/$recipe.yaml"
done
echo "== lineage of the last model"
"$redwhale" show lineage -c "$out/korean.yaml" | tee "$out/lineage.txt"
echo "== done in $(($(date +%s) - started)) s"
