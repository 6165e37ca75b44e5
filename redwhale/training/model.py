"""Load the parent model and make it ready for a stage: rows in blocks, adapters, loss inside the forward pass."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from redwhale.core.errors import FAILED, USAGE, RedwhaleError, first_line
from redwhale.core.recipe.stages import Train
from redwhale.measure.models import folder_of
from redwhale.training.attention import FLEX, IMPLEMENTATION, own_document_blocks, own_document_mask, without_flex
from redwhale.training.rows import BlockEmbedding, BlockHead, RowLayout, check_layout, cut_blocks

LAYERS_NAME = "layers.json"
_PROBE_TOKENS = 8
_PROBE_TOLERANCE = 0.02


class StageModel(nn.Module):
    """A causal language model whose forward pass ends in the summed loss, so that any engine may wrap it."""

    def __init__(self, model: Any, *, embedding: str, head: str, layout: RowLayout) -> None:
        super().__init__()
        self.model = model
        self.embedding_name, self.head_name, self.layout = embedding, head, layout

    def forward(
        self, input_ids: Tensor, *, labels: Tensor | None = None, positions: Tensor | None = None,
        documents: Tensor | None = None, scale: float = 1.0, attention_mask: Tensor | None = None,
        logits_to_keep: int = 0,
    ) -> Any:  # fmt: skip
        """Return the summed loss times ``scale``, float32, for ``labels: (B, T)``, without them an output with logits.

        ``documents: (B, T)`` restricts attention to a token's own document; ``positions: (B, T)``.
        """
        if labels is None:
            with without_flex(self.model):
                return self.model(
                    input_ids=input_ids, attention_mask=attention_mask, use_cache=False, logits_to_keep=logits_to_keep
                )
        mask = None if documents is None else self._mask(documents)
        output = self.model.base_model(
            input_ids=input_ids, attention_mask=mask, position_ids=positions, use_cache=False
        )  # fmt: skip
        return self.model.get_submodule(self.head_name)(output.last_hidden_state, labels, scale=scale)

    def _mask(self, documents: Tensor) -> Any:
        """Return the mask of documents in the form that the layers' kernel takes."""
        if self.model.config._attn_implementation == FLEX:
            return own_document_blocks(documents)
        return own_document_mask(documents, dtype=self.model.get_submodule(self.embedding_name).dtype)


@dataclass(frozen=True)
class Prepared:
    """A model ready for its stage, on the CPU in the dtype it is stored in, all frozen yet."""

    module: StageModel
    stored_dtype: torch.dtype
    added_layers: tuple[int, ...] = ()

    @property
    def model(self) -> Any:
        """Return the Hugging Face model inside, whose names every tensor goes by."""
        return self.module.model


def load_model(folder: Path) -> Any:
    """Load a model folder on the CPU in the dtype it is stored in, with SDPA attention.

    Raises exit code 2 for an architecture that cannot be trained, and where the files are not those of the config: the
    library would fill what is missing with noise.
    """
    from transformers import AutoModelForCausalLM

    loaded: Any
    try:
        with quiet_bars():
            loaded = AutoModelForCausalLM.from_pretrained(
                folder, dtype="auto", attn_implementation=IMPLEMENTATION, use_safetensors=True, local_files_only=True,
                trust_remote_code=False, output_loading_info=True,
            )  # fmt: skip
    except ValueError as error:  # an architecture that the library does not know, or without this attention
        raise RedwhaleError(
            f"the model cannot be trained ({first_line(error)})", where=str(folder),
            fix="choose a base that transformers loads as a causal model with SDPA attention", exit_code=USAGE,
        ) from error  # fmt: skip
    except RuntimeError as error:
        if "mismatch" not in str(error):
            raise
        raise _unfit("the model's files hold tensors of other shapes than its config.json says", folder) from error
    model, loading = loaded
    if missing := sorted(loading["missing_keys"]):
        raise _unfit(f"the model's files lack {', '.join(missing[:3])}", folder)
    return model


def _unfit(what: str, folder: Path) -> RedwhaleError:
    return RedwhaleError(what, where=str(folder), fix="make the model again with --fresh", exit_code=USAGE)


@contextlib.contextmanager
def quiet_bars() -> Iterator[None]:
    """Keep the library's own progress bars off stderr, which carries ours."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def prepare(folder: Path, train: Train, *, layer_dtype: torch.dtype | None = None, seed: int = 0) -> Prepared:
    """Load the parent and give it the structure that ``train`` asks for; nothing is trainable yet.

    ``layer_dtype`` is what the layers will compute in (default: as stored). Raises exit code 2 for words
    that do not fit the model, and where training's forward pass is not the model's own.
    """
    model, layout = load_model(folder), RowLayout.read(folder)
    check_layout(model, layout, where=str(folder))
    probe = torch.arange(_PROBE_TOKENS).unsqueeze(0) % layout.vocabulary
    with torch.no_grad():
        expected = model.eval()(input_ids=probe, use_cache=False).logits
    module = structure(model, layout, train)
    _check_forward(module, probe, expected, where=str(folder))
    model.get_submodule(module.embedding_name).dtype = layer_dtype or model.dtype  # the engine casts the layers
    if train.lora:
        from redwhale.training.adapters import add_adapters  # peft is slow to import

        add_adapters(model, decoder_layers(model)[0], train.lora, seed=seed)
    return Prepared(module, model.dtype, read_added_layers(folder))


def structure(model: Any, layout: RowLayout, train: Train) -> StageModel:
    """Freeze a model and cut its embedding and head into the blocks that ``train`` asks for; raise exit code 2."""
    model.requires_grad_(False)
    _check_words(train, layout)
    names = {id(module): name for name, module in model.named_modules()}
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    embedding_blocks = cut_blocks(embedding.weight, layout, train.embedding)
    head_blocks = embedding_blocks if layout.tied else cut_blocks(head.weight, layout, train.head)
    model.set_submodule(names[id(embedding)], BlockEmbedding(embedding_blocks, dtype=model.dtype))
    model.set_submodule(names[id(head)], BlockHead(head_blocks))
    return StageModel(model, embedding=names[id(embedding)], head=names[id(head)], layout=layout)


def read_added_layers(folder: Path) -> tuple[int, ...]:
    """Return the numbers of the layers that init-model added, none where it added none."""
    path = folder / LAYERS_NAME
    return tuple(json.loads(path.read_text(encoding="utf-8"))["added"]) if path.is_file() else ()


def _check_words(train: Train, layout: RowLayout) -> None:
    for part, word in (("embedding", train.embedding), ("head", train.head)):
        if word == "new" and not layout.new_rows:
            raise RedwhaleError(
                "the model has no new rows to train", where=f"pretrain.stages.train.{part}",
                fix="use `all` or `none`", exit_code=USAGE,
            )  # fmt: skip
    if layout.tied and train.embedding != train.head:
        raise RedwhaleError(
            f"embedding ({train.embedding}) and head ({train.head}) are one matrix in this model",
            where="pretrain.stages.train", fix="give both the same word", exit_code=USAGE,
        )  # fmt: skip


@torch.no_grad()
def _check_forward(module: StageModel, probe: Tensor, expected: Tensor, *, where: str) -> None:
    """Raise where layers and head, as training calls them, do not give the model's own logits.

    Some models scale their embeddings or cap their logits outside these modules.
    """
    hidden = module.model.base_model(input_ids=probe, use_cache=False).last_hidden_state
    logits = module.model.get_submodule(module.head_name)(hidden)
    gap = float((logits.float() - expected.float()).abs().max() / expected.float().abs().max().clamp(min=1e-6))
    if not gap <= _PROBE_TOLERANCE and bool(torch.isfinite(expected).all()):
        raise RedwhaleError(
            f"the model does more than layers and head (logits differ by {gap:.2g} of their size)", where=where,
            fix="this kind of model cannot be trained yet", exit_code=USAGE,
        )  # fmt: skip


def decoder_layers(model: Any) -> tuple[str, nn.ModuleList]:
    """Return name and list of the decoder layers; raise where the model has no such list."""
    wanted = model.config.num_hidden_layers
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == wanted:
            return name, module
    raise RedwhaleError(
        f"the model has no list of {wanted} layers", where=folder_of(model),
        fix="choose a base of Llama, Mistral, Qwen, Gemma or GPT-2 shape", exit_code=FAILED,
    )  # fmt: skip
