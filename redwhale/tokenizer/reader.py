"""Load a tokenizer as all encoding for training and measurement uses it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from redwhale.tokenizer.base import JSON_NAME, read_base
from redwhale.tokenizer.extend import TOKENIZER_CLASS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Load the tokenizer of a base, a tokenizer artifact or a model, with special parsing off.

    Text such as ``</s>`` in a document stays text. A folder without tokenizer.json, or with one whose
    merges contradict its tokenizer.model, is read as the train-tokenizer step reads it.
    """
    from transformers import PreTrainedTokenizerFast as Fast

    base = read_base(folder)
    if (folder / JSON_NAME).is_file() and not base.notes and base.config.get("tokenizer_class") == TOKENIZER_CLASS:
        loaded = Fast.from_pretrained(folder, split_special_tokens=True)
        for role, token in base.special.items():
            if getattr(loaded, role) is None:
                setattr(loaded, role, token)
    else:
        loaded = Fast(tokenizer_object=base.tokenizer(), split_special_tokens=True, **base.special)
    loaded.backend_tokenizer.encode_special_tokens = True
    return loaded
