"""What a stage's memory and work depend on, from config.json alone: the model on the meta device, cut as it will be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redwhale.core.artifact import is_finished
from redwhale.core.base import base_folder
from redwhale.core.errors import USAGE, RedwhaleError, first_line
from redwhale.core.recipe.pretrain import Pretrain
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.recipe.stages import Stage, Train
from redwhale.training import partition
from redwhale.training.model import Prepared, decoder_layers, read_added_layers, structure
from redwhale.training.rows import ROWS_NAME, RowLayout


@dataclass(frozen=True)
class StageShape:
    """Numbers of elements and widths; ``matrix`` ones are those that multiply activations.

    ``layer_matrix``: of one layer; ``trained_layer_matrix``: of all layers together, adapters included;
    ``first_gradient_layer``: lowest layer that the gradient flows through (``layers`` where it reaches none).
    A tied matrix counts as embedding and as head; ``trained_layers``: layers that train whole.
    """

    table: tuple[partition.TableRow, ...]
    elements: int
    trained: int
    trained_embedding: int
    trained_layer_matrix: int
    trained_head: int
    head: int
    layer_matrix: int
    adapters: int
    layers: int
    trained_layers: int
    first_gradient_layer: int
    hidden: int
    intermediate: int
    attention_width: int
    key_value_width: int
    rows: int
    stored_bytes: int

    @property
    def gradient_layers(self) -> int:
        """Return how many layers the gradient flows through."""
        return self.layers - self.first_gradient_layer


class ShapeReader:
    """Read the shapes of a recipe's stages, and of stages like them; only configuration files are read.

    The parent model's where it is made, else the base's, with the rows and layers that the recipe adds.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._prepared: dict[tuple[Any, ...], Prepared] = {}

    def read(self, index: int, stage: Stage | None = None) -> StageShape:
        """Return the shape of stage ``index`` (from 0), or of another ``stage`` in its place."""
        settings: Pretrain = self._recipe.need("pretrain")
        stage = stage or settings.stages[index]
        prepared = self._prepare(index, stage.train)
        prepared.model.requires_grad_(False)
        trained = partition.select(prepared, stage)
        table = partition.table(trained, prepared, stage=stage, decay=settings.weight_decay)
        return measure_shape(prepared, trained, tuple(table))

    def _prepare(self, index: int, train: Train) -> Prepared:
        """Return the empty model, cut as the stage will have it; stages of the same cut share it."""
        from redwhale.measure.models import empty_model

        key = (train.embedding, train.head, train.lora)
        if key not in self._prepared:
            config, layout, added = _parent(self._recipe, index)
            model = empty_model(config)
            module = structure(model, layout, train)
            if train.lora:
                from redwhale.training.adapters import add_adapters  # peft is slow to import

                add_adapters(model, decoder_layers(model)[0], train.lora, seed=0)
            self._prepared[key] = Prepared(module, model.dtype, added)
        return self._prepared[key]


def _parent(recipe: Recipe, index: int) -> tuple[Any, RowLayout, tuple[int, ...]]:
    """Return configuration, rows and added layers of the model that the stage starts from."""
    from transformers import AutoConfig

    for number in range(index - 1, -2, -1):  # any earlier model of the chain has the same shape
        folder = recipe.model_folder(number)
        if (folder / ROWS_NAME).is_file():
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            return config, RowLayout.read(folder), read_added_layers(folder)
    folder = base_folder(recipe)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, KeyError, OSError) as error:
        raise RedwhaleError(
            f"the model's shape cannot be read ({first_line(error)})", where=str(folder / "config.json"),
            fix="put the base's config.json there", exit_code=USAGE,
        ) from None  # fmt: skip
    return _as_init_model_will_make_it(recipe, config)


def _as_init_model_will_make_it(recipe: Recipe, config: Any) -> tuple[Any, RowLayout, tuple[int, ...]]:
    from redwhale.weights.layers import COUNT_KEYS, layer_sources

    text = config.get_text_config()
    new, base = _new_tokens(recipe, text.vocab_size)
    pad_to = recipe.init.pad_rows_to if recipe.init else 1
    needed = base + new
    rows = max(text.vocab_size, -(-needed // pad_to) * pad_to if needed > text.vocab_size else 0)
    text.vocab_size = rows
    added: tuple[int, ...] = ()
    if recipe.init and recipe.init.add_layers:
        sources, added = layer_sources(text.num_hidden_layers, recipe.init.add_layers)
        for key in COUNT_KEYS:
            if key in text.to_dict():
                setattr(text, key, len(sources))
        if getattr(text, "layer_types", None):
            text.layer_types = [text.layer_types[source] for source in sources]
    return config, RowLayout(base, new, rows - needed, bool(config.tie_word_embeddings)), added


def _new_tokens(recipe: Recipe, base_rows: int) -> tuple[int, int]:
    """Return new tokens and the base's: of the finished tokenizer, else as the recipe asks."""
    from redwhale.weights.rows import EXTENSION_NAME, read_extension

    folder = recipe.tokenizer_folder
    if is_finished(folder) and (folder / EXTENSION_NAME).is_file():
        extension = read_extension(folder)
        return len(extension.pieces), extension.base_tokens
    if recipe.tokenizer is None:
        return 0, base_rows
    asked = recipe.tokenizer.new_tokens
    return (recipe.tokenizer.auto.largest if asked == "auto" else asked), base_rows


def measure_shape(
    prepared: Prepared, trained: Sequence[partition.TrainedTensor], table: tuple[partition.TableRow, ...]
) -> StageShape:
    """Return the shape of a model that is cut for its stage, loaded or empty, before any engine shards it."""
    model, module, text = prepared.model, prepared.module, prepared.model.config.get_text_config()
    prefix, layers = decoder_layers(model)
    by_part = {
        part: [t for t in trained if t.part == part] for part in ("embedding", "head", "layers", "norms", "lora")
    }
    numbers = [int(t.name.removeprefix(f"{prefix}.").split(".")[0]) for t in trained if t.name.startswith(f"{prefix}.")]
    own_layer = [p for name, p in layers[0].named_parameters() if ".lora_" not in name]
    adapters = sum(t.size for t in by_part["lora"])
    head_width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    tied = module.layout.tied
    rows = module.layout.rows
    return StageShape(
        table=table,
        elements=sum(p.numel() for p in model.parameters()),
        trained=sum(t.size for t in trained),
        trained_embedding=sum(t.size for t in by_part["embedding"]),
        trained_layer_matrix=sum(t.size for t in by_part["layers"] if t.decays) + adapters,
        trained_head=sum(t.size for t in by_part["embedding" if tied else "head"]),
        head=rows * text.hidden_size,
        layer_matrix=sum(p.numel() for p in own_layer if p.ndim >= 2),
        adapters=adapters,
        layers=len(layers),
        trained_layers=len({t.name.removeprefix(f"{prefix}.").split(".")[0] for t in by_part["layers"]}),
        first_gradient_layer=0 if by_part["embedding"] else min(numbers, default=len(layers)),
        hidden=text.hidden_size,
        intermediate=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        attention_width=text.num_attention_heads * head_width,
        key_value_width=(getattr(text, "num_key_value_heads", None) or text.num_attention_heads) * head_width,
        rows=rows,
        stored_bytes=prepared.stored_dtype.itemsize,
    )
