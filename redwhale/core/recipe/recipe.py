"""The recipe: one file that describes the chain from raw text to a scored model."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from redwhale.core.artifact import is_finished
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.corpus import Preprocess
from redwhale.core.recipe.evaluate import Evaluate
from redwhale.core.recipe.fields import Misfit, Section
from redwhale.core.recipe.init import Init
from redwhale.core.recipe.machine import Machine
from redwhale.core.recipe.nearest import misspelt
from redwhale.core.recipe.pretrain import Pretrain
from redwhale.core.recipe.stages import Stage
from redwhale.core.recipe.tokenizer import Tokenizer

_MIXTURE_ROUNDING = 0.01  # a mixture is kept in 1,024ths; the stage itself judges to the last


class Base(Section):
    """The English model to start from."""

    model: str
    """Folder (relative to the recipe) or hub name; safetensors only."""
    revision: str | None = None
    """Commit of a hub model."""


class Recipe(Section):
    """A recipe as resolved; a command needs only the sections that it reads."""

    version: Literal[1]
    """Version of the recipe's format."""
    name: str = "redwhale"
    """Name of the project, for reports."""
    workdir: str
    """Folder of all results, relative to the recipe."""
    seed: int = Field(default=1234, ge=0)
    """Seed of everything random."""
    machine: Machine = Machine()
    """This machine."""
    base: Base | None = None
    """The base model."""
    preprocess: Preprocess | None = None
    """Raw text to corpus."""
    tokenizer: Tokenizer | None = None
    """Corpus to tokenizer."""
    init: Init | None = None
    """Base weights to model 0."""
    pretrain: Pretrain | None = None
    """Model 0 to model N."""
    evaluate: Evaluate | None = None
    """Model to scores."""

    _file: Path = PrivateAttr(default=Path("redwhale.yaml"))
    _changes: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _mixtures_name_sources(self) -> Recipe:
        if not (self.pretrain and self.preprocess and self.preprocess.sources):
            return self
        known = {source.name for source in self.preprocess.sources}
        own = ((("stages", index), stage.mixture or {}) for index, stage in enumerate(self.pretrain.stages))
        for place, mixture in (((), self.pretrain.mixture), *own):
            if unknown := sorted(mixture.keys() - known):
                meant = misspelt(unknown[0], known)
                raise Misfit(
                    f"the mixture names {', '.join(unknown)}, which is no source of `preprocess` "
                    f"({', '.join(sorted(known))})",
                    fix=f"did you mean `{meant}`?" if meant else "",
                    key=("pretrain", *place, "mixture", unknown[0]),
                )  # fmt: skip
        return self

    @model_validator(mode="after")
    def _languages_can_be_mixed(self) -> Recipe:
        for index, stage in enumerate(self.pretrain.stages if self.pretrain else []):
            own = ("stages", index) if stage.mix_languages is not None else ()
            share, shares = self.need("pretrain").mix_languages_of(stage), self.language_shares(stage)
            largest = min(1.0, 2 - 2 * max(shares.values())) if shares else 1.0
            if share > largest + _MIXTURE_ROUNDING:
                raise Misfit(
                    f"`mix_languages` is {share:g}, the mixture of stage {stage.name} gives at most {largest:.4g}",
                    fix="lower it, there or in the stage, or raise the share of the rarer languages",
                    key=("pretrain", *own, "mix_languages"),
                )
        return self

    def language_shares(self, stage: Stage) -> dict[str, float] | None:
        """Return the shares by language that the mixture gives a stage's tokens; None where sizes of sources decide."""
        sources = self.preprocess.sources if self.preprocess else []
        languages = {source.name: source.language for source in sources}
        mixture = self.need("pretrain").mixture_of(stage)
        if not languages:
            return None
        if not mixture:
            return dict.fromkeys(languages.values(), 1.0) if len(set(languages.values())) == 1 else None
        shares = dict.fromkeys(languages.values(), 0.0)
        for name, weight in mixture.items():
            shares[languages[name]] += weight / sum(mixture.values())
        return shares

    @property
    def file(self) -> Path:
        """Return the recipe's own path, for error messages."""
        return self._file

    def command(self, *words: str) -> str:
        """Return a command for this recipe as a shell takes it, with the changes that ``--set`` made."""
        changes = [word for change in self._changes for word in ("--set", change)]
        return shlex.join(["redwhale", *words, "-c", str(self._file), *changes])

    def path(self, written: str) -> Path:
        """Return a path of the recipe, relative ones taken from the recipe's folder."""
        return Path(os.path.abspath(self._file.parent / Path(written).expanduser()))  # noqa: PTH100  (folds `..`)

    @property
    def root(self) -> Path:
        """Return the folder of all results."""
        return self.path(self.workdir)

    @property
    def corpus_folder(self) -> Path:
        """Return the corpus artifact's folder."""
        existing = self.preprocess.existing if self.preprocess else None
        return self.path(existing) if existing else self.root / "corpus"

    @property
    def tokenizer_folder(self) -> Path:
        """Return the tokenizer artifact's folder."""
        existing = self.tokenizer.existing if self.tokenizer else None
        return self.path(existing) if existing and not self.adopts_tokenizer else self.root / "tokenizer"

    @property
    def adopts_tokenizer(self) -> bool:
        """Tell whether ``tokenizer.existing`` is no artifact of ours: it is then checked and copied into one."""
        existing = self.tokenizer.existing if self.tokenizer else None
        return existing is not None and not is_finished(self.path(existing))

    @property
    def init_comparison_folder(self) -> Path:
        """Return the folder of the comparison of initialisations."""
        return self.root / "init-comparison"

    @property
    def model_0_folder(self) -> Path:
        """Return the initialised model's folder."""
        existing = self.init.existing if self.init else None
        return self.path(existing) if existing else self.root / "model-0"

    @property
    def tokens_folder(self) -> Path:
        """Return the packed tokens' folder."""
        packed = self.pretrain.packed if self.pretrain else None
        return self.path(packed) if packed else self.root / "tokens"

    def stage_folder(self, index: int) -> Path:
        """Return the folder of stage ``index``, counted from 0; the name counts from 1."""
        assert self.pretrain is not None
        return self.root / f"stage-{index + 1}-{self.pretrain.stages[index].name}"

    def model_folder(self, index: int) -> Path:
        """Return the Hugging Face folder that stage ``index`` (from 0) wrote; -1 is model 0."""
        return self.model_0_folder if index < 0 else self.stage_folder(index) / "model"

    def stage_index(self, wanted: str) -> int:
        """Find a stage by number (from 1) or name; raise with the stages there are."""
        stages = self.need("pretrain").stages
        for index, stage in enumerate(stages):
            if wanted in (str(index + 1), stage.name):
                return index
        there = ", ".join(f"{i + 1} ({stage.name})" for i, stage in enumerate(stages))
        raise RedwhaleError(
            f"there is no stage {wanted!r}",
            where=f"{self._file}: pretrain.stages",
            fix=f"stages: {there}",
            exit_code=USAGE,
        )

    def changed(self, **sections: Any) -> Recipe:
        """Return this recipe with other values, checked as when it was read; paths in them are taken as they are."""
        recipe = Recipe.model_validate(self.model_dump() | sections)
        recipe._file, recipe._changes = self._file, self._changes
        return recipe

    def need(self, section: str) -> Any:
        """Return a section; raise exit code 2 where the recipe lacks it."""
        value = getattr(self, section)
        if value is None:
            raise RedwhaleError(
                f"the recipe has no section `{section}`, which this command reads",
                where=str(self._file),
                fix="add it (`redwhale new` writes a complete recipe)",
                exit_code=USAGE,
            )
        return value
