"""Load base and made model with transformers and compare them on English before any training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from redwhale.core.console import Console
from redwhale.core.errors import USAGE, RedwhaleError, first_line
from redwhale.weights.checkpoint import Checkpoint
from redwhale.weights.prepare import Prepared
from redwhale.weights.rows import RowLayout
from redwhale.weights.verify import broken

MOST_MODEL_BYTES = 2 * 10**9
"""Larger models are not loaded: init-model itself needs a few matrices' memory alone."""
_MOST_TOKENS = 256
_HINT_PERCENT = 1.0
ENGLISH_TEXT = (
    "The old harbour lies between two hills, and on clear mornings the boats leave before the sun is up. "
    "Most families here have fished for generations, but the young often move to the city to study or to "
    "look for work. Last year the town council opened a small library in the former post office. Children "
    "come after school to read, and in the evening their parents meet to talk about prices, the weather and "
    "the plans for a new road. Nobody expects things to change quickly. Still, when the first bus arrived in "
    "spring, people stood along the street and waved."
)


def english_ids(tokenizer: Any) -> list[int]:
    """Return the ids of the English text as measurement sees it: BOS, or EOS where there is no BOS, in front."""
    front = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    ids = ([] if front is None else [front]) + tokenizer.encode(ENGLISH_TEXT, add_special_tokens=False)
    return ids[:_MOST_TOKENS]


def leak(logits: torch.Tensor, first_new_row: int) -> dict[str, float]:
    """Return the probability mass on rows from ``first_new_row`` on; ``logits: (positions, rows) float32``.

    Equal logits of the old tokens do not keep their probabilities: copies of one frequent row can take
    nearly all of it. ``mean`` and ``highest`` are over positions.
    """
    mass = torch.softmax(logits, dim=-1)[:, first_new_row:].sum(dim=-1)
    return {"mean": float(mass.mean()), "highest": float(mass.max())}


def measure(job: Prepared, made: Checkpoint, tokenizer_folder: Path, console: Console) -> dict[str, Any]:
    """Compare base and made model where they are small enough; else check shapes alone, and say why."""
    if not job.layout.new_tokens and job.deeper is None:
        return {}
    if made.bytes > MOST_MODEL_BYTES:
        check_shapes(made)
        why = f"the model's {made.bytes / 1e9:.1f} GB are over {MOST_MODEL_BYTES / 1e9:g} GB"
        console.warn(
            f"init-model: English not measured and the gate `init.gates.leak` not judged: {why}; "
            "`redwhale eval bpb -m base -m 0` compares them"
        )
        return {"leak_not_measured": why}
    from redwhale.tokenizer.reader import load_tokenizer

    measured = measure_on_english(
        job.base.folder, made.folder, ids=english_ids(load_tokenizer(tokenizer_folder)), layout=job.layout,
        same_function=job.deeper is None or job.deeper.how == "identity",
    )  # fmt: skip
    percent = 100 * measured["leak"]["mean"]
    hint = "; the first stage wins it back, `init.compare` shows what others lose" if percent > _HINT_PERCENT else ""
    console.note(
        f"init-model: before any training the new rows take {percent:.2g} % of the probability on English{hint}"
    )
    return measured


def measure_on_english(
    base_folder: Path, made_folder: Path, *, ids: list[int], layout: RowLayout, same_function: bool
) -> dict[str, Any]:
    """Run both models (float32, CPU) on the ids; return leak and change of the old tokens' logits.

    With ``same_function`` (nothing but rows and identity layers added) the old logits must be equal to the bit,
    where both heads are cut to the old rows: a product of another size may be blocked, and so rounded, otherwise,
    which ``old_logits_change_whole_head`` tells. Raises exit code 1 where they are not.
    """
    kept = layout.known_rows
    if max(ids) >= kept:
        raise broken(f"its tokenizer spells English with id {max(ids)}, which is none of the base's", made_folder)
    old, old_cut = _logits(base_folder, ids, kept)
    new, new_cut = _logits(made_folder, ids, kept)
    change = float((new_cut - old_cut).abs().max())
    whole_change = float((new[:, :kept] - old[:, :kept]).abs().max())
    if same_function and change != 0.0:
        raise broken(f"logits of old tokens on English differ by {change:g}", made_folder)
    return {
        "english_tokens": len(ids),
        "leak": leak(new, kept),
        "leak_of_base": leak(old, kept),
        "old_logits_change": change,
        "old_logits_change_whole_head": whole_change,
    }


def check_shapes(made: Checkpoint) -> None:
    """Build the model that the config describes without memory; raise exit code 1 where a stored tensor does not fit.

    Names that transformers converts on loading are passed over.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    with _naming_what_fails(made.folder):
        config = AutoConfig.from_pretrained(made.folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    expected = model.state_dict()
    for name, tensor in made.tensors.items():
        if name in expected and tuple(expected[name].shape) != tensor.shape:
            raise broken(f"the tensor {name} has shape {tensor.shape}, the config means {tuple(expected[name].shape)}",
                         tensor.file)  # fmt: skip


@contextlib.contextmanager
def _naming_what_fails(folder: Path) -> Iterator[None]:
    """Turn what transformers raises over a model it does not know into exit code 2."""
    try:
        yield
    except (ValueError, KeyError, OSError) as error:
        raise RedwhaleError(
            f"transformers cannot load the model ({first_line(error)})", where=str(folder),
            fix="choose a base that transformers knows without remote code", exit_code=USAGE,
        ) from error  # fmt: skip


def _logits(folder: Path, ids: list[int], kept: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the logits ``(positions, rows) float32`` of the ids, and those from a head of ``kept`` rows alone."""
    model = _load(folder)
    with torch.no_grad():
        whole = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float()
        head = model.get_output_embeddings()
        head.weight = torch.nn.Parameter(head.weight[:kept].clone(), requires_grad=False)
        cut = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float()
    return whole, cut


def _load(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    with _naming_what_fails(folder):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, local_files_only=True,
            output_loading_info=True,
        )  # fmt: skip
    model, loading = loaded
    if lost := sorted(loading["missing_keys"]):
        raise RedwhaleError(
            f"transformers finds no weights for {len(lost)} tensors ({', '.join(lost[:3])})", where=str(folder),
            fix="fetch the base again", exit_code=USAGE,
        )  # fmt: skip
    for parameter in model.parameters():  # mapped files place tensors at odd addresses, which changes rounding
        parameter.data = parameter.data.clone()
    return model.eval()
