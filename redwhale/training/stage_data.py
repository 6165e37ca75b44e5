"""The sequences of one stage, opened where the stage before ended, and checks that text and model fit them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from redwhale.core import artifact
from redwhale.core.console import Console
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.pretrain import Pretrain
from redwhale.core.recipe.recipe import Recipe
from redwhale.training.batch import Batcher
from redwhale.training.data import DataOrder, TokenStore
from redwhale.training.launch import World
from redwhale.training.rows import RowLayout
from redwhale.training.schedule import Course

TOKENIZER_NAME = "tokenizer.json"
EPOCHS_WITHOUT_WARNING = 4


@dataclass(frozen=True)
class StageData:
    """The sequences of one stage and how its steps are cut out of them."""

    order: DataOrder
    course: Course
    batcher: Batcher

    def blocks(self, step: int) -> list[str]:
        """Return source and place in its stream, in sequences, of all that step ``step`` reads, counted from 0.

        A sequence of two languages names both: ``news:5 + docs:2``.
        """
        first = step * self.course.sequences_per_step
        places = range(first, first + self.course.sequences_per_step)
        return [" + ".join(f"{name}:{block}" for name, block in parts) for parts in map(self.order.parts, places)]

    def language_shares(self, steps: int) -> dict[str, float]:
        """Return each language's share of the tokens of the first ``steps`` steps."""
        shares: dict[str, float] = {}
        realised = self.order.realised(steps * self.course.sequences_per_step)
        for source in self.order.store.sources:
            if share := realised[source.name]["share"]:
                shares[source.language] = round(shares.get(source.language, 0.0) + share, 4)
        return shares


def open_data(recipe: Recipe, index: int, *, world: World, console: Console) -> StageData:
    """Open the packed tokens where the stage before ended; raise where tokens and model do not fit."""
    settings: Pretrain = recipe.need("pretrain")
    store = TokenStore.open(recipe.tokens_folder)
    check_agreement(recipe, recipe.model_folder(index - 1), vocabulary=store.vocabulary)
    stage = settings.stages[index]
    goes_on = index > 0 and stage.data == "continue"
    start = artifact.read_manifest(recipe.stage_folder(index - 1)).counts["cursor"] if goes_on else {}
    course = Course.of(settings, index)
    order = DataOrder(
        store, mixture=settings.mixture_of(stage), sequence_length=settings.sequence_length, seed=recipe.seed,
        start=start, packing=settings.packing, mix_languages=settings.mix_languages_of(stage),
        sequences=course.sequences,
    )  # fmt: skip
    assert settings.micro_batch != "auto", "the stage resolves it first"
    batcher = Batcher(
        order.sequence, course.sequences_per_step, settings.micro_batch,
        own_documents=settings.documents_attend == "own", rank=world.rank, world=world.size,
    )  # fmt: skip
    data = StageData(order, course, batcher)
    check_batch(data, stage=stage.name)
    check_epochs(data, settings.most_epochs, stage=stage.name, console=console)
    return data


def check_batch(data: StageData, *, stage: str) -> None:
    """Raise exit code 2 where a source has fewer sequences than a batch takes of it: they would stand in it twice."""
    for name, numbers in data.order.realised(data.course.sequences).items():
        taken, blocks = numbers["share"] * data.course.sequences_per_step, data.order.blocks[name]
        if taken > blocks:
            raise RedwhaleError(
                f"a batch of stage {stage} takes {taken:.1f} sequences of {name}, which has only {blocks}",
                where="pretrain.batch_tokens", exit_code=USAGE,
                fix=f"lower `batch_tokens` or the share of {name} in `mixture`, or add text",
            )  # fmt: skip


def check_epochs(data: StageData, most: float | None, *, stage: str, console: Console) -> None:
    """Warn where a source is read over four times by the end of a stage; raise exit code 2 over the recipe's limit.

    Up to four epochs are worth about as much as new text (Muennighoff et al., arXiv 2305.16264).
    """
    realised = data.order.realised(data.course.sequences)
    name, epochs = max(((name, numbers["epochs"]) for name, numbers in realised.items()), key=lambda item: item[1])
    what = f"stage {stage} ends with {name} read {epochs:.1f} times"
    if most is not None and epochs > most:
        raise RedwhaleError(
            f"{what}, more than `most_epochs` {most:g}", where="pretrain.most_epochs",
            fix=f"lower the stage's `tokens` or the share of {name} in `mixture`, or add text", exit_code=USAGE,
        )  # fmt: skip
    if most is None and epochs > EPOCHS_WITHOUT_WARNING:
        console.warn(f"{what}; more than four times teaches little: add text, or lower its share or `tokens`")


def check_agreement(recipe: Recipe, model: Path, *, vocabulary: int) -> None:
    """Raise exit code 2, naming both sides, where tokens were packed with another tokenizer than the model's."""
    packed = {record.role: record.digest for record in artifact.read_manifest(recipe.tokens_folder).inputs}
    tokenizer = artifact.read_manifest(recipe.tokenizer_folder)
    recorded = {record.path: record.sha256 for record in tokenizer.outputs}.get(TOKENIZER_NAME)
    own = artifact.hash_file(model / TOKENIZER_NAME)
    if packed.get("tokenizer") != tokenizer.digest or recorded != own:
        raise RedwhaleError(
            f"the tokens in {recipe.tokens_folder} were packed with another tokenizer than the one in {model}",
            where=str(recipe.tokens_folder), fix="make the older one of the two again with --fresh", exit_code=USAGE,
        )  # fmt: skip
    layout = RowLayout.read(model)
    if layout.vocabulary != vocabulary:
        raise RedwhaleError(
            f"the packed tokens know {vocabulary} ids, the model has {layout.vocabulary} rows with a token",
            where=str(model), fix="make the older one of the two again with --fresh", exit_code=USAGE,
        )  # fmt: skip
