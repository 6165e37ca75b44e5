"""Add layers by renumbering tensors: which layer of the base each new one is, and which tensors are zero."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.init import AddLayers
from redwhale.weights.checkpoint import Checkpoint
from redwhale.weights.matrices import text_config

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LAYER_TENSOR = re.compile(r"(?P<prefix>(?:.*\.)?(?:layers|h)\.)(?P<layer>\d+)\.(?P<rest>.+)")
COUNT_KEYS = ("num_hidden_layers", "n_layer", "num_layers")
# What stands in a layer of Llama, Mistral, Qwen, Gemma and Phi shapes, and of GPT-2: with any other part
# zero projections might not make the layer an identity.
_KNOWN_PARTS = re.compile(
    r"self_attn\.((q|k|v|o|qkv)_proj|(q|k)_norm|rotary_emb)\..+|mlp\.(gate|up|down|gate_up)_proj\..+|"
    r"(input|post_attention|pre_feedforward|post_feedforward)_layernorm\..+|"
    r"attn\.(c_attn|c_proj)\..+|attn\.(bias|masked_bias)|mlp\.(c_fc|c_proj)\..+|ln_[12]\..+"
)
_OUTPUT_PARTS = (("self_attn.o_proj", "mlp.down_proj"), ("attn.c_proj", "mlp.c_proj"))
# Thresholds or patterns among layer numbers, with the value at which all layers are alike.
_ALIKE = {"first_k_dense_replace": 0, "num_kv_shared_layers": 0, "decoder_sparse_step": 1}


@dataclass(frozen=True)
class DeeperModel:
    """The layers of the model to be made: number i is a copy of base layer ``sources[i]``.

    ``added`` are the numbers of those that the base does not have; the tensors of an added layer that begin
    with one of ``zeroed`` are zero. ``prefix`` stands before every layer's number in tensor names.
    """

    prefix: str
    sources: tuple[int, ...]
    added: tuple[int, ...]
    zeroed: tuple[str, ...]
    how: str

    def names(self, name: str) -> list[tuple[str, bool]]:
        """Return the names under which a base tensor stands in the made model, and whether as zeros."""
        match = _LAYER_TENSOR.fullmatch(name)
        if match is None or match["prefix"] != self.prefix:
            return [(name, False)]
        rest, source = match["rest"], int(match["layer"])
        zero = rest.startswith(tuple(f"{part}." for part in self.zeroed))
        return [
            (f"{self.prefix}{number}.{rest}", zero and number in self.added)
            for number, layer in enumerate(self.sources)
            if layer == source
        ]

    def record(self) -> dict[str, Any]:
        """Return what layers.json says."""
        return {
            "how": self.how, "layers": len(self.sources), "base_layers": len(self.sources) - len(self.added),
            "added": list(self.added), "sources": list(self.sources),
        }  # fmt: skip


def layer_sources(base_layers: int, settings: AddLayers) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the base layer of every layer, and the numbers of the added ones.

    ``identity`` cuts the base into ``count`` groups as equal as can be and puts one copy after the last
    layer of each. ``repeat`` puts a block of ``count`` layers twice. Raises exit code 2 where the base has too
    few layers.
    """
    count = settings.count
    start = (base_layers - count) // 2 if settings.start is None else settings.start
    last = count if settings.how == "identity" else start + count
    if count > base_layers or last > base_layers:
        raise RedwhaleError(
            f"{count} layers cannot be copied {'' if settings.start is None else f'from layer {start} on '}"
            f"where the base has {base_layers}",
            where="init.add_layers", fix=f"add at most {base_layers - (settings.start or 0)}", exit_code=USAGE,
        )  # fmt: skip
    if settings.how == "repeat":
        sources = [*range(start + count), *range(start, base_layers)]
        return tuple(sources), tuple(range(start + count, start + 2 * count))
    ends = {(group + 1) * base_layers // count - 1 for group in range(count)}
    numbered = [(layer, copy) for layer in range(base_layers) for copy in range(1 + (layer in ends))]
    return tuple(layer for layer, _ in numbered), tuple(i for i, (_, copy) in enumerate(numbered) if copy)


def plan_layers(checkpoint: Checkpoint, settings: AddLayers | None) -> DeeperModel | None:
    """Return the layers to write, or None where none are added; raise exit code 2 where the shape is not known."""
    if settings is None:
        return None
    parts = _layer_parts(checkpoint)
    if len(parts) != 1:
        raise _unfit(checkpoint.folder, f"it has {len(parts)} lists of layers ({', '.join(parts) or 'no layers.N.'})")
    ((prefix, layers),) = parts.items()
    stated = [text_config(checkpoint.config)[key] for key in COUNT_KEYS if key in text_config(checkpoint.config)]
    if stated != [len(layers)] or set(layers) != set(range(len(layers))):
        raise _unfit(checkpoint.folder, f"its config says {stated} layers, its weights have {len(layers)}")
    zeroed = _output_parts(checkpoint.folder, layers) if settings.how == "identity" else ()
    sources, added = layer_sources(len(layers), settings)
    plan = DeeperModel(prefix, sources, added, zeroed, settings.how)
    deeper_config(checkpoint, plan)  # refuses what cannot be renumbered before anything is written
    return plan


def _layer_parts(checkpoint: Checkpoint) -> dict[str, dict[int, set[str]]]:
    """Return prefix → layer number → the rest of its tensors' names."""
    found: dict[str, dict[int, set[str]]] = {}
    for name in checkpoint.tensors:
        if match := _LAYER_TENSOR.fullmatch(name):
            found.setdefault(match["prefix"], {}).setdefault(int(match["layer"]), set()).add(match["rest"])
    return found


def _output_parts(folder: Path, layers: dict[int, set[str]]) -> tuple[str, ...]:
    """Return the parts by which every layer adds to the hidden states."""
    names = set().union(*layers.values())
    if unknown := sorted(name for name in names if not _KNOWN_PARTS.fullmatch(name)):
        raise _unfit(folder, f"its layers have {unknown[0]}, which zero projections may not silence")
    for parts in _OUTPUT_PARTS:
        if all({f"{part}.weight" for part in parts} <= rest for rest in layers.values()):
            return parts
    raise _unfit(folder, "its layers have no output projections under known names (o_proj and down_proj, or c_proj)")


def _unfit(folder: Path, reason: str) -> RedwhaleError:
    return RedwhaleError(
        f"layers cannot be added to this base: {reason}", where=str(folder),
        fix="leave out `init.add_layers`, or choose a base of Llama, Mistral, Qwen, Gemma or GPT-2 shape",
        exit_code=USAGE,
    )  # fmt: skip


def deeper_config(checkpoint: Checkpoint, plan: DeeperModel) -> dict[str, Any]:
    """Return the base's config with the number of layers, and lists with an entry per layer, as they are now.

    Raises exit code 2 for settings that mean particular layers by number or by a pattern.
    """
    config, own = dict(checkpoint.config), dict(text_config(checkpoint.config))
    layers = len(plan.sources) - len(plan.added)
    for key, value in list(own.items()):
        if key in COUNT_KEYS:
            own[key] = len(plan.sources)
        elif "layer" in key and isinstance(value, list) and value:
            if len(value) != layers:
                raise _unfit(checkpoint.folder, f"its config numbers layers in `{key}`")
            own[key] = [value[source] for source in plan.sources]
        elif value is not None and value != _ALIKE.get(key, value):
            raise _unfit(checkpoint.folder, f"its config counts layers in `{key}`")
    types = _types_by_default(checkpoint.folder) if own.get("layer_types") is None else []
    if len(set(types)) > 1:
        own["layer_types"] = [types[source] for source in plan.sources]
    if isinstance(config.get("text_config"), dict):
        return config | {"text_config": own}
    return own


def repeat_in_memory(model: PreTrainedModel, checkpoint: Checkpoint, plan: DeeperModel) -> None:
    """Make a loaded base run its layers in the plan's order; repeated ones share their weights, so it is for measuring.

    Raises exit code 2 where the model does not hold its layers in one list.
    """
    from torch.nn import ModuleList

    base_layers = len(plan.sources) - len(plan.added)
    decoder = model.get_decoder()
    lists = [
        (module, name)
        for module in decoder.modules()
        for name, child in module.named_children()
        if isinstance(child, ModuleList) and len(child) == base_layers
    ]
    if len(lists) != 1:
        raise _unfit(checkpoint.folder, f"once loaded it has {len(lists)} lists of {base_layers} layers")
    ((owner, name),) = lists
    layers = owner.get_submodule(name)
    setattr(owner, name, ModuleList([layers.get_submodule(str(source)) for source in plan.sources]))
    before, after = text_config(checkpoint.config), text_config(deeper_config(checkpoint, plan))
    for key in after:
        if after[key] != before.get(key):
            setattr(model.config.get_text_config(), key, after[key])


def _types_by_default(folder: Path) -> list[str]:
    """Return the kinds of attention that transformers derives from a pattern where the config names none."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, KeyError, OSError):
        return []  # a config that transformers cannot read is refused where the model is loaded
    return list(getattr(config.get_text_config(), "layer_types", None) or [])
