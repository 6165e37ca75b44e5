"""The ``init`` section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from redwhale.core.recipe.fields import Section

Initialisation = Literal["decompose-mean", "decompose-first", "mean"]


class Init(Section):
    """Give each new token a row in the embedding and in the head."""

    existing: str | None = None
    """Folder of a finished model 0 to use in place of making one."""
    embedding: Initialisation = "decompose-mean"
    """`decompose-mean`: mean of the base's rows of its verbatim decomposition (paper, section 3);
    `decompose-first`: the first of those rows; `mean`: mean of all base rows."""
    head: Initialisation = "decompose-mean"
    """As `embedding`, from the rows of the head; a tied model follows `embedding`."""
    pad_rows_to: int = Field(default=64, ge=1)
    """Rows are padded to a multiple of this; padding rows hold the mean of all base rows."""

    @model_validator(mode="after")
    def _power_of_two(self) -> Init:
        if self.pad_rows_to & (self.pad_rows_to - 1):
            raise ValueError(f"`pad_rows_to` must be a power of two, got {self.pad_rows_to}")
        return self
