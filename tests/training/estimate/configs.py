"""Configurations of models that need no weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PICO = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 160,
    "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300,
    "max_position_embeddings": 512, "tie_word_embeddings": False, "dtype": "bfloat16",
}  # fmt: skip
# Widths as the makers' config.json state them.
SOLAR = PICO | {
    "hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 48, "num_attention_heads": 32,
    "num_key_value_heads": 8, "vocab_size": 32_000, "max_position_embeddings": 4096,
}  # fmt: skip
LLAMA_3_8B = SOLAR | {"num_hidden_layers": 32, "vocab_size": 128_256, "max_position_embeddings": 8192}


def write_config(folder: Path, base: dict[str, Any] = PICO, **changes: Any) -> Path:
    """Write config.json alone."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(base | changes))
    return folder
