"""Write a stage's result as a plain Hugging Face folder and prove that it is the trained model.

The parent is loaded again and given the trained tensors, so frozen weights are the parent's bits whatever
the engine did. New rows are folded back into one matrix; adapters are merged in float32.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from redwhale.core.artifact import MANIFEST_NAME
from redwhale.core.begun import BEGUN_NAME, LOG_NAME
from redwhale.core.errors import FAILED, RedwhaleError
from redwhale.core.lock import LOCK_NAME
from redwhale.core.publish import atomic_folder
from redwhale.core.recipe.stages import Train
from redwhale.training.model import Prepared, load_model, prepare, quiet_bars
from redwhale.training.rows import RowBlocks

MODEL_NAME = "model"
_PROBE_TOKENS = 32
# Largest gap of logits, as a share of the largest logit, that rounding the weights to the stored dtype explains.
TOLERANCES = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 6e-2}
_NOT_CARRIED = {MANIFEST_NAME, LOCK_NAME, LOG_NAME, BEGUN_NAME, "README.md"}  # a card says what one model is


def rebuild(parent: Path, train: Train, masters: dict[str, Tensor]) -> Prepared:
    """Return the parent with trained tensors in place, folded and merged, in the dtype it is stored in (CPU).

    ``masters`` (float32) is emptied on the way: at full size each copy counts.
    """
    prepared = prepare(parent, train)
    parameters = dict(prepared.model.named_parameters())
    for name in list(masters):
        parameter = parameters[name]
        keeps_fp32 = ".lora_" in name  # merged below, where one rounding is enough
        parameter.data = masters.pop(name).to("cpu", torch.float32 if keeps_fp32 else parameter.dtype)
    if train.lora:
        from redwhale.training.adapters import merge_adapters  # peft is slow to import

        merge_adapters(prepared.model)
    _fold_rows(prepared)
    return prepared


@torch.no_grad()
def _fold_rows(prepared: Prepared) -> None:
    """Turn blocks of rows back into one embedding and one head, tied where they were."""
    module, model = prepared.module, prepared.model
    embedding_blocks: RowBlocks = model.get_submodule(module.embedding_name)
    head_blocks: RowBlocks = model.get_submodule(module.head_name)
    matrix = nn.Parameter(torch.cat(embedding_blocks.blocks), requires_grad=False)
    rows, width = matrix.shape
    embedding = nn.Embedding(rows, width, device="meta")
    head = nn.Linear(width, rows, bias=False, device="meta")
    head.weight = matrix if module.layout.tied else nn.Parameter(torch.cat(head_blocks.blocks), requires_grad=False)
    embedding.weight = matrix
    model.set_submodule(module.embedding_name, embedding)
    model.set_submodule(module.head_name, head)


def _save_weights(model: Any, folder: Path) -> None:
    """Save weights and index alone; configurations are the parent's, which newer libraries may refuse to write."""
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig()
    with quiet_bars():
        model.save_pretrained(folder)
    for path in folder.glob("*.safetensors"):  # the library leaves them readable by their owner alone
        shutil.copymode(folder / "config.json", path)
    for path in folder.glob("*config.json"):
        path.unlink()


def write(folder: Path, *, parent: Path, rebuilt: Prepared) -> list[Path]:
    """Publish the model folder whole: weights as safetensors, every small file as the parent has it."""
    size_bytes = sum(tensor.nbytes for tensor in rebuilt.model.parameters())
    with atomic_folder(folder, size_bytes=size_bytes) as temporary:
        _save_weights(rebuilt.model, temporary)
        for path in sorted(parent.iterdir()):
            weights = path.name.endswith((".safetensors", ".safetensors.index.json"))
            if path.is_file() and not weights and path.name not in _NOT_CARRIED and not path.name.startswith("."):
                shutil.copyfile(path, temporary / path.name)
    return sorted(path for path in folder.iterdir() if path.is_file())


def probe_ids(rows: int) -> Tensor:
    """Return ``(1, 32)`` ids spread over all rows."""
    return (torch.arange(_PROBE_TOKENS) * max(rows // _PROBE_TOKENS, 1) % rows).unsqueeze(0)


@torch.no_grad()
def verify(folder: Path, *, rebuilt: Prepared, trained_logits: Tensor, trained_in: torch.dtype) -> float:
    """Reload the folder and compare it; return the largest gap of logits as a share of the largest logit.

    Every tensor must be the rebuilt one bit for bit, the tie kept, and the logits ``(1, 32, V)`` on
    ``probe_ids`` those of the model that was trained, but for rounding to the stored dtype and to the one it
    was ``trained_in``. Raises exit code 1.
    """
    model = load_model(folder)
    expected, found = rebuilt.model.state_dict(), model.state_dict()
    wrong = [name for name in expected if name not in found or not torch.equal(expected[name], found[name])]
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    if wrong or tied != rebuilt.module.layout.tied:
        raise RedwhaleError(
            f"the written model differs from the trained one: {', '.join(wrong[:5]) or f'tied {tied}'}",
            where=str(folder), fix="check the disk and run the same command again", exit_code=FAILED,
        )  # fmt: skip
    logits = model.eval()(input_ids=probe_ids(rebuilt.module.layout.vocabulary), use_cache=False).logits.float()
    gap = float((logits - trained_logits).abs().max() / trained_logits.abs().max().clamp(min=1e-6))
    limit = max(TOLERANCES[rebuilt.stored_dtype], TOLERANCES[trained_in])
    if not gap <= limit:
        raise RedwhaleError(
            f"the written model's logits are off by {gap:.2g} of their size; rounding explains {limit:g}",
            where=str(folder), fix="this is a fault of redwhale; please report it with the base's name",
            exit_code=FAILED,
        )  # fmt: skip
    return gap
