"""Measure stages of Llama-shaped random models on one GPU: time, HFU, and peak memory against the plan's.

Engine, loss, partition and plan are those of ``redwhale pretrain``; tokens are random, in documents of a mean of 1,000.
Every row is a process of its own and one JSON line; a row that runs out of memory says so beside its plan. Shapes:
``1b`` and ``8b`` (Llama-3's widths), ``7b`` (Llama-2's), ``10.7b`` (SOLAR's), all with 20,000 new tokens, and ``pico``
to try the script itself. Stages: ``rows`` (embedding and head), ``new-rows``, ``odd``, ``lora`` (rank 64), ``full``.
Engines: ``plain``, ``8bit`` (bitsandbytes), ``zero2`` and ``offload`` (DeepSpeed, ZeRO-2, states in main memory).

    python scripts/bench_train_gpu.py [--shapes 1b,7b] [--stages rows,odd,lora,full] [--engines plain]
        [--attention sdpa,flex] [--micro-batch 1] [--passes 4] [--steps 6] [--device cuda:0]
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
from typing import Any

SHAPES: dict[str, dict[str, int]] = {
    "pico": {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4,
             "num_key_value_heads": 2, "vocab_size": 1000},
    "1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
           "num_key_value_heads": 8, "vocab_size": 128_256},
    "7b": {"hidden_size": 4096, "intermediate_size": 11_008, "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 32, "vocab_size": 32_000},
    "8b": {"hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 8, "vocab_size": 128_256},
    "10.7b": {"hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 48, "num_attention_heads": 32,
              "num_key_value_heads": 8, "vocab_size": 32_000},
}  # fmt: skip
STAGES: dict[str, Any] = {
    "rows": {"embedding": "all", "head": "all"}, "new-rows": {"embedding": "new", "head": "new"},
    "odd": {"layers": "odd"}, "lora": {"lora": {"rank": 64}}, "full": "full",
}  # fmt: skip
ENGINES: dict[str, dict[str, Any]] = {
    "plain": {"deepspeed": None}, "8bit": {"deepspeed": None, "optimizer": "adamw-8bit"},
    "zero2": {"deepspeed": {"zero": 2}}, "offload": {"deepspeed": {"zero": 2, "offload": "optimizer"}},
}  # fmt: skip
NEW_ROWS = 20_000
MEAN_DOCUMENT_TOKENS = 1000
GIB = 2**30


def main() -> None:
    """Run each combination in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="1b,7b")
    parser.add_argument("--stages", default="rows,odd,lora,full")
    parser.add_argument("--engines", default="plain")
    parser.add_argument("--attention", default="sdpa")
    parser.add_argument("--length", type=int, default=4096)
    parser.add_argument("--micro-batch", type=int, default=1)
    parser.add_argument("--passes", type=int, default=4, help="Micro-batches of a step.")
    parser.add_argument("--steps", type=int, default=6, help="The first two are not timed.")
    parser.add_argument("--recompute", default="full")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(arguments)), flush=True)
        return
    lists = (getattr(arguments, key).split(",") for key in ("shapes", "stages", "engines", "attention"))
    for shape, stage, engine, attention in itertools.product(*lists):
        chosen = ["--shapes", shape, "--stages", stage, "--engines", engine, "--attention", attention]
        done = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], *chosen, "--child"], capture_output=True, text=True,
            env=os.environ | {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"},
        )  # fmt: skip
        lines = done.stdout.splitlines()
        failed = {
            "shape": shape,
            "stage": stage,
            "engine": engine,
            "attention": attention,
            "failed": done.stderr[-600:],
        }
        print(lines[-1] if done.returncode == 0 and lines else json.dumps(failed), flush=True)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train one stage for some steps; return speed, use of the card and memory."""
    import torch

    from redwhale.training import engine, meter, partition, setup
    from redwhale.training.estimate.shortage import is_shortage
    from redwhale.training.launch import join

    device = torch.device(arguments.device)
    settings = settings_of(arguments)
    world = join(device, group=settings.deepspeed is not None)
    stage = settings.stages[0]
    prepared = make_model(SHAPES[arguments.shapes], settings, device=device)
    trained = partition.select(prepared, stage)
    table = partition.table(trained, prepared, stage=stage, decay=settings.weight_decay)
    planned = setup.plan_loaded(settings, 0, prepared, trained, table=table, world=world)
    row: dict[str, Any] = {
        "shape": arguments.shapes, "stage": stage.name, "engine": arguments.engines, "attention": arguments.attention,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu", "length": arguments.length,
        "micro_batch": arguments.micro_batch, "recompute": arguments.recompute, "trained": planned.shape.trained,
        "parameters": planned.shape.elements, "planned_gib": round(planned.memory.peak / GIB, 3),
        "planned_parts_gib": {part: round(size / GIB, 3) for part, size in planned.memory.as_dict().items()},
    }  # fmt: skip
    try:
        runner = engine.make_engine(prepared, trained, settings=settings, micro_batches=arguments.passes, world=world)
        after_start = torch.cuda.memory_allocated() / GIB if device.type == "cuda" else 0.0
        meter.forget_peak(device)
        seconds = train(runner, arguments, rows=planned.shape.rows, device=device)
    except (MemoryError, RuntimeError) as error:
        if not is_shortage(error):
            raise
        return row | {"out_of_memory": True, "peak_gib": round(meter.peak_memory_bytes(device) / GIB, 3)}
    peak, speed = meter.peak_memory_bytes(device), arguments.passes * arguments.micro_batch * arguments.length / seconds
    used = meter.Meter(
        None, resumed_step=0, device=device, work=planned.work,
        peak_flops=planned.card.bf16_flops if planned.card else 0.0,
    ).utilisation(speed)  # fmt: skip
    return row | {
        "tokens_per_second": round(speed, 1), "step_seconds": round(seconds, 3), **used,
        "allocated_at_start_gib": round(after_start, 3), "peak_gib": round(peak / GIB, 3),
        "peak_over_plan": round(peak / planned.memory.peak, 3),
        "reserved_gib": round(torch.cuda.max_memory_reserved() / GIB, 3) if device.type == "cuda" else None,
        "optimizer": runner.optimizer_name,
    }  # fmt: skip


def settings_of(arguments: argparse.Namespace) -> Any:
    """Return the section of a recipe with one stage."""
    from redwhale.core.recipe.pretrain import Pretrain

    return Pretrain.model_validate({
        "sequence_length": arguments.length, "micro_batch": arguments.micro_batch, "recompute": arguments.recompute,
        "batch_tokens": arguments.length * arguments.micro_batch * arguments.passes, "attention": arguments.attention,
        "precision": "bf16", **ENGINES[arguments.engines],
        "stages": [{
            "name": arguments.stages, "train": STAGES[arguments.stages], "tokens": 10**9, "learning_rate": 1e-5,
        }],
    })  # fmt: skip


def make_model(shape: dict[str, int], settings: Any, *, device: Any) -> Any:
    """Return a random model in bfloat16, made on the device, with the structure that the stage asks for."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from redwhale.training import attention
    from redwhale.training.adapters import add_adapters
    from redwhale.training.model import Prepared, decoder_layers, structure
    from redwhale.training.rows import RowLayout

    train = settings.stages[0].train
    layout = RowLayout(shape["vocab_size"], NEW_ROWS, 0, tied=False)
    config = LlamaConfig(**shape | {"vocab_size": layout.rows}, max_position_embeddings=settings.sequence_length)
    config._attn_implementation = attention.IMPLEMENTATION
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with device:
        model = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    module = structure(model, layout, train)
    if train.lora:
        add_adapters(model, decoder_layers(model)[0], train.lora, seed=0)
    if settings.attention == "flex":
        attention.use_flex(model, device=device.type, where="this model")
    return Prepared(module, torch.bfloat16)


def train(runner: Any, arguments: argparse.Namespace, *, rows: int, device: Any) -> float:
    """Do the steps; return the median seconds of those after the second."""
    import torch

    seconds = []
    tokens = arguments.passes * arguments.micro_batch * arguments.length
    for number in range(arguments.steps):
        batches = [random_batch(arguments, rows=rows, seed=number * 1000 + i) for i in range(arguments.passes)]
        synchronize(device)
        begun = time.perf_counter()
        for place, batch in enumerate(batches):
            last = place == len(batches) - 1
            loss = runner.forward(batch.to(device), scale=1 / tokens, last=last)
            runner.backward(loss, last=last)
        update = runner.step(1.0, finite=True)
        synchronize(device)
        seconds.append(time.perf_counter() - begun)
        assert update.applied and torch.isfinite(loss), (update, loss)
    return statistics.median(seconds[2:])


def random_batch(arguments: argparse.Namespace, *, rows: int, seed: int) -> Any:
    """Return a micro-batch of random tokens in packed documents."""
    import torch

    from redwhale.training.batch import Batch

    torch.manual_seed(seed)
    size = (arguments.micro_batch, arguments.length)
    ids = torch.randint(0, rows, size)
    begins = torch.rand(size) < 1 / MEAN_DOCUMENT_TOKENS
    begins[:, 0] = True
    places = torch.arange(arguments.length).expand(size)
    first = torch.where(begins, places, 0).cummax(dim=1).values
    labels = torch.where(begins.roll(-1, 1), -100, ids.roll(-1, 1))
    return Batch(ids, labels, places - first, (begins.cumsum(1) - 1).int())


def synchronize(device: Any) -> None:
    """Wait for what the device still does."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
