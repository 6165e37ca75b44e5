"""Measure init-model on a checkpoint of 10.7B parameters: peak memory, bytes read and written, seconds.

    python scripts/bench_expand.py [--folder DIR] [--embedding METHOD] [--head METHOD]
        [--add-layers '{count: 8, how: identity}'] [--keep]

Makes a base of 48 layers, d 4096, untied, 32,000 rows, bf16, as 5 shards of sparse files (21 GB apparent size;
only embedding and head, 0.5 GB, are real), and a tokenizer of 17,072 new tokens whose pieces are made up. Runs
init-model in a process of its own and prints one JSON line. `hashed` is what the identity of the inputs costs:
every shard of the base is read once for its digest. `read` and `written` are what the process asked of the
system (rchar, wchar) besides, `disk_` what reached the disk.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from redwhale.core.artifact import Input
from redwhale.core.console import Console
from redwhale.core.step import Built, Plan, produce
from redwhale.tokenizer.base import tokenizer_files

LAYERS, WIDTH, INNER, KEY_VALUE_WIDTH, ROWS, NEW_TOKENS, SHARDS = 48, 4096, 14336, 1024, 32000, 17072, 5
MATRICES = ("model.embed_tokens.weight", "lm_head.weight")
PROGRAM = """
import json, resource, sys, time
from pathlib import Path
from redwhale.core.console import Console
from redwhale.core.recipe.load import load_recipe
from redwhale.weights import step
def io():
    return dict((name.rstrip(":"), int(value)) for name, value in map(str.split, open("/proc/self/io")))
before, started = io(), time.perf_counter()
manifest = step.run(load_recipe(Path(sys.argv[1])), console=Console(quiet=True))
after = io()
print(json.dumps({"seconds": round(time.perf_counter() - started, 1),
    "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    "io": {key: after[key] - before[key] for key in after}, "counts": manifest.counts}))
"""


def tensors_of_model() -> dict[str, tuple[int, ...]]:
    """Return every tensor's shape, in the order of the layers."""
    shapes: dict[str, tuple[int, ...]] = {MATRICES[0]: (ROWS, WIDTH)}
    for layer in range(LAYERS):
        own = {
            "self_attn.q_proj": (WIDTH, WIDTH), "self_attn.k_proj": (KEY_VALUE_WIDTH, WIDTH),
            "self_attn.v_proj": (KEY_VALUE_WIDTH, WIDTH), "self_attn.o_proj": (WIDTH, WIDTH),
            "mlp.gate_proj": (INNER, WIDTH), "mlp.up_proj": (INNER, WIDTH), "mlp.down_proj": (WIDTH, INNER),
            "input_layernorm": (WIDTH,), "post_attention_layernorm": (WIDTH,),
        }  # fmt: skip
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in own.items()}
    return shapes | {"model.norm.weight": (WIDTH,), MATRICES[1]: (ROWS, WIDTH)}


def write_base(folder: Path) -> None:
    """Write the shards with holes for all but embedding and head."""
    folder.mkdir(parents=True)
    shapes = list(tensors_of_model().items())
    shards: list[dict[str, tuple[int, ...]]] = [{} for _ in range(SHARDS)]
    for place, (name, shape) in enumerate(shapes):
        shards[place * SHARDS // len(shapes)][name] = shape
    weight_map, total = {}, 0
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05}-of-{SHARDS:05}.safetensors"
        total += write_sparse(folder / name, shard)
        weight_map |= dict.fromkeys(shard, name)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": ROWS, "hidden_size": WIDTH,
        "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": 32, "num_key_value_heads": 8,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16", "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))


def write_sparse(path: Path, shapes: dict[str, tuple[int, ...]]) -> int:
    """Write one bf16 shard, real numbers for embedding and head alone; return the bytes of its tensors."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [position, position + size]}
        position += size
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for name in MATRICES:
            if name in header:
                values = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(len(name))).mul_(0.02)
                file.seek(8 + len(encoded) + header[name]["data_offsets"][0])
                file.write(values.bfloat16().view(torch.uint8).numpy().data)
        file.truncate(8 + len(encoded) + position)
    return position


def write_tokenizers(base: Path, folder: Path) -> None:
    """Write a byte-fallback tokenizer of 32,000 pieces and its extension by made-up Hangul pieces."""
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    vocabulary = {piece: i for i, piece in enumerate([*special, *(f"x{i}" for i in range(ROWS - len(special)))])}
    document = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "pre_tokenizer": None,
        "post_processor": None, "decoder": None,
        "added_tokens": [
            {"id": i, "content": special[i], "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True} for i in range(3)
        ],
        "model": {"type": "BPE", "vocab": vocabulary, "merges": [], "byte_fallback": True, "unk_token": "<unk>",
                  "dropout": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True},
    }  # fmt: skip
    (base / "tokenizer.json").write_text(json.dumps(document))
    (base / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    pieces = ["▁" * (i % 2) + chr(0xAC00 + i // 2 % 11172) + "가" * (i // 22344) for i in range(NEW_TOKENS)]
    decomposition = [[token for character in piece for token in spelt(character, vocabulary)] for piece in pieces]

    def build() -> Built:
        model = {**document["model"], "vocab": vocabulary | {piece: ROWS + i for i, piece in enumerate(pieces)}}
        (folder / "tokenizer.json").write_text(json.dumps({**document, "model": model}))
        extension = {"family": "sentencepiece-bpe", "base_tokens": ROWS, "new_tokens": NEW_TOKENS, "pieces": pieces,
                     "decomposition": decomposition}  # fmt: skip
        (folder / "extension.json").write_text(json.dumps(extension))
        shutil.copyfile(base / "tokenizer_config.json", folder / "tokenizer_config.json")
        return Built([folder / name for name in ("tokenizer.json", "extension.json", "tokenizer_config.json")])

    inputs = tuple(Input(f"base {path.name}", path) for path in tokenizer_files(base))
    produce(Plan("train-tokenizer", "", folder, inputs, {}, 1), build, console=Console(quiet=True))


def spelt(character: str, vocabulary: dict[str, int]) -> list[int]:
    """Return the ids of one character: its own, or those of its bytes."""
    own = vocabulary.get(character)
    return [own] if own is not None else [vocabulary[f"<0x{byte:02X}>"] for byte in character.encode()]


def main() -> None:
    """Make the base, run init-model and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to work, on a file system with sparse files [a new one]")
    parser.add_argument("--embedding", default="decompose-mean")
    parser.add_argument("--head", default="decompose-mean")
    parser.add_argument("--add-layers", default="null")
    parser.add_argument("--keep", action="store_true", help="leave base and result where they are")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-expand-", dir=arguments.folder))
    try:
        write_base(folder / "base")
        write_tokenizers(folder / "base", folder / "run" / "tokenizer")
        (folder / "redwhale.yaml").write_text(
            "version: 1\nworkdir: run\nbase: {model: base}\n"
            f"init: {{embedding: {arguments.embedding}, head: {arguments.head}, add_layers: {arguments.add_layers}}}\n"
        )
        os.sync()
        started = time.perf_counter()
        command = [sys.executable, "-c", PROGRAM, str(folder / "redwhale.yaml")]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            raise SystemExit(run.stderr)
        measured = json.loads(run.stdout.splitlines()[-1])
        print(json.dumps(row(measured, folder, arguments) | {"wall_seconds": round(time.perf_counter() - started, 1)}))
    finally:
        if not arguments.keep:
            shutil.rmtree(folder)


def row(measured: dict[str, Any], folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the line to print."""
    shards = sorted((folder / "base").glob("*.safetensors"))
    made = folder / "run" / "model-0"
    rewritten = [made / shard.name for shard in shards if not (made / shard.name).samefile(shard)]
    hashed = sum(shard.stat().st_size for shard in shards)
    io = measured["io"]
    return {
        "embedding": arguments.embedding, "head": arguments.head, "add_layers": arguments.add_layers,
        "base_gigabytes": gigabytes(hashed), "shards": len(shards), "linked": len(shards) - len(rewritten),
        "new_rows": measured["counts"]["new_rows"], "peak_megabytes": measured["peak_megabytes"],
        "rewritten_gigabytes": gigabytes(sum(path.stat().st_size for path in rewritten)),
        "hashed_gigabytes": gigabytes(hashed), "read_gigabytes": gigabytes(io["rchar"] - hashed),
        "written_gigabytes": gigabytes(io["wchar"]), "disk_read_gigabytes": gigabytes(io["read_bytes"]),
        "disk_written_gigabytes": gigabytes(io["write_bytes"]), "seconds": measured["seconds"],
    }  # fmt: skip


def gigabytes(count: int) -> float:
    """Return bytes as GB."""
    return round(count / 1e9, 2)


if __name__ == "__main__":
    main()
