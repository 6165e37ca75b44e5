"""Load a model for measuring, and what is known of it."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redwhale.core.base import weight_files
from redwhale.core.errors import FAILED, RESOURCES, USAGE, RedwhaleError, first_line

if TYPE_CHECKING:
    import torch

_ADAPTER_NAME = "adapter_config.json"


def load_model(folder: Path, device: torch.device, *, dtype: str = "stored") -> Any:
    """Load a causal language model for measuring, in the precision that it is stored in or in ``dtype``.

    Raises where its files cannot be read or lack a tensor, which the library would fill with noise, and exit code 2
    where they are not safe or an adapter stands among them, with which the library would load another model.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    if (folder / _ADAPTER_NAME).is_file():
        raise RedwhaleError(
            f"the folder holds an adapter ({_ADAPTER_NAME}), not a model alone", where=str(folder), exit_code=USAGE,
            fix="merge it into its model, or take its files out",
        )  # fmt: skip
    weight_files(folder)
    logging.disable_progress_bar()
    loaded: Any
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype="auto" if dtype == "stored" else dtype,
            attn_implementation="sdpa",
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise unloadable("model", folder, error) from error
    model, loading = loaded
    if missing := sorted(loading["missing_keys"]):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise RedwhaleError(
            f"the model's files lack {missing[0]}{more}", where=str(folder), fix="fetch or make the model again"
        )
    return model.to(device).eval()


def empty_model(config: Any) -> Any:
    """Return the causal model of a configuration on the meta device: names and shapes, no memory."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False)


@contextlib.contextmanager
def explain_out_of_memory(fix: str) -> Iterator[None]:
    """Turn a device out of memory into an error of exit code 4 that says what to lower."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise RedwhaleError(
            f"the device is out of memory ({first_line(error)})", where="machine.device", fix=fix, exit_code=RESOURCES
        ) from error


def folder_of(loaded: Any) -> str:
    """Return the folder that a model or tokenizer was loaded from; empty for one made in memory."""
    return str(getattr(loaded, "name_or_path", ""))


def context_of(model: Any, *, default: int = 2048) -> int:
    """Return the most tokens that a model reads at once, found as lm-evaluation-harness does."""
    config = getattr(model.config, "text_config", None) or model.config
    for name in ("n_positions", "max_position_embeddings", "n_ctx"):
        if (value := getattr(config, name, None)) is not None:
            return int(value)
    return default


def cache_word(model: Any) -> str:
    """Return what a model calls its keys and values, given and returned: `cache` from transformers 5.24 on."""
    parameters = inspect.signature(getattr(model, "forward", model)).parameters
    return "cache" if "cache" in parameters else "past_key_values"


def dtype_of(model: Any) -> str:
    """Return the name of the weights' precision, such as ``bfloat16``."""
    return str(next(model.parameters()).dtype).removeprefix("torch.")


def unloadable(part: str, folder: Path, error: Exception) -> RedwhaleError:
    """Return the error for a ``part`` of a model's folder that its library cannot load; exit code 2 for own code."""
    if "trust_remote_code" in str(error):
        return RedwhaleError(
            f"the {part} cannot be loaded without running code that it brings, which is never done", where=str(folder),
            fix="choose a model of a kind that transformers knows by itself", exit_code=USAGE,
        )  # fmt: skip
    return RedwhaleError(
        f"the {part} cannot be loaded ({first_line(error)})",
        where=str(folder),
        fix="fetch or make it again",
        exit_code=FAILED,
    )
