"""init-model on pico and real models: every old byte kept, every new row in place, nothing unfit accepted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from redwhale.core.errors import RedwhaleError
from tests.weights.makers import (
    PIECES,
    extend,
    make_base,
    make_recipe,
    rows_of,
    run,
    shard_weights,
)

REAL = Path(os.environ.get("REDWHALE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def test_new_rows_are_the_means_and_old_bytes_are_kept(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base, method="redwhale", pad_rows_to=64)
    decomposition = extend(base, recipe.tokenizer_folder, pieces=PIECES)
    manifest = run(recipe)
    old, new = load_file(base / "model.safetensors"), load_file(recipe.model_0_folder / "model.safetensors")
    assert old.keys() == new.keys()
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        assert new[name].shape == (448, 32)  # 420 + 5, padded to a multiple of 64
        assert torch.equal(new[name][:420], old[name])
        expected = torch.stack([old[name][pieces].mean(dim=0) for pieces in decomposition])
        assert torch.allclose(new[name][420:425], expected, atol=1e-7)
        assert torch.allclose(new[name][425:], old[name].mean(dim=0).expand(23, -1), atol=1e-7)
    for name in old.keys() - {"model.embed_tokens.weight", "lm_head.weight"}:
        assert torch.equal(new[name], old[name])
    assert not torch.equal(new["lm_head.weight"][420:425], new["model.embed_tokens.weight"][420:425])
    assert rows_of(recipe.model_0_folder) == {
        "first_new_row": 420, "new_rows": 5, "padding_rows": 23, "base_rows": 420, "tied": False,
    }  # fmt: skip
    config = json.loads((recipe.model_0_folder / "config.json").read_text())
    before = json.loads((base / "config.json").read_text())
    assert config == before | {"vocab_size": 448}
    assert (recipe.model_0_folder / "generation_config.json").is_file()
    assert manifest.metrics["head"]["distinct_new_rows"] == 5
    assert manifest.metrics["old_logits_change"] == 0.0
    assert 0 < manifest.metrics["leak"]["mean"] < 0.2  # a random head gives each of 28 new rows about 1/448


def test_the_result_loads_as_a_plain_model_with_the_base_s_logits(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    run(recipe)
    old = AutoModelForCausalLM.from_pretrained(base)
    new, loading = AutoModelForCausalLM.from_pretrained(recipe.model_0_folder, output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    assert len(AutoTokenizer.from_pretrained(recipe.model_0_folder)) == 425
    ids = torch.tensor([AutoTokenizer.from_pretrained(base).encode("Return a list of lines, each with its number.")])
    with torch.no_grad():
        assert torch.allclose(new(ids).logits[..., :420], old(ids).logits, atol=1e-6)


def test_each_matrix_follows_its_own_method(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base, embedding="last", head="first")
    decomposition = extend(base, recipe.tokenizer_folder, pieces=PIECES)
    run(recipe)
    old, new = load_file(base / "model.safetensors"), load_file(recipe.model_0_folder / "model.safetensors")
    for name, place in (("lm_head.weight", 0), ("model.embed_tokens.weight", -1)):
        chosen = [pieces[place] for pieces in decomposition]
        for row, piece in enumerate(chosen):
            tied = chosen.count(piece) > 1  # such rows get noise, the others are copies
            assert torch.equal(new[name][420 + row], old[name][piece]) is not tied
            assert torch.allclose(new[name][420 + row], old[name][piece], atol=1e-3)


@pytest.mark.promise("F31")
def test_a_tied_model_stays_tied(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    base = make_base(tmp_path, tied=True)
    recipe = make_recipe(
        tmp_path, base, embedding="decompose-mean", head="mean"
    )  # the head of a tied model follows the embedding
    decomposition = extend(base, recipe.tokenizer_folder, pieces=PIECES)
    run(recipe)
    assert rows_of(recipe.model_0_folder)["tied"] is True
    with safe_open(recipe.model_0_folder / "model.safetensors", "pt") as file:
        assert "lm_head.weight" not in file.keys()  # noqa: SIM118
    model = AutoModelForCausalLM.from_pretrained(recipe.model_0_folder)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    old = load_file(base / "model.safetensors")["model.embed_tokens.weight"]
    assert torch.allclose(model.lm_head.weight[420], old[decomposition[0]].mean(dim=0), atol=1e-7)


@pytest.mark.promise("F31")
@pytest.mark.parametrize(
    ("extra_rows", "rows", "padding"),
    [
        (3, 448, 23),  # 3 padding rows are reused, 2 rows appended, then padded
        (92, 512, 87),  # all 5 fit into the base's padding: no row is added, the rest stays
    ],
)
def test_padding_rows_of_the_base_are_reused(tmp_path: Path, extra_rows: int, rows: int, padding: int) -> None:
    base = make_base(tmp_path, extra_rows=extra_rows)
    recipe = make_recipe(tmp_path, base)
    decomposition = extend(base, recipe.tokenizer_folder, pieces=PIECES)
    manifest = run(recipe)
    assert rows_of(recipe.model_0_folder) == {
        "first_new_row": 420, "new_rows": 5, "padding_rows": padding, "base_rows": 420 + extra_rows, "tied": False,
    }  # fmt: skip
    assert manifest.counts["reused_rows"] == min(extra_rows, 5)
    old = load_file(base / "model.safetensors")["lm_head.weight"]
    new = load_file(recipe.model_0_folder / "model.safetensors")["lm_head.weight"]
    assert new.shape[0] == rows
    assert torch.equal(new[:420], old[:420])
    assert torch.equal(new[425 : 420 + extra_rows], old[425:])
    assert torch.allclose(new[424], old[decomposition[4]].mean(dim=0), atol=1e-7)


@pytest.mark.parametrize(("special", "pieces"), [(True, PIECES), (False, PIECES), (False, [])])
def test_added_tokens_without_rows(tmp_path: Path, special: bool, pieces: list[str]) -> None:
    """Tokenizers often carry added tokens that their model knows nothing of; a special one is refused."""
    from tokenizers import AddedToken, Tokenizer

    base = make_base(tmp_path)
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.add_tokens([AddedToken("|||NAME|||", special=special)])
    tokenizer.save(str(base / "tokenizer.json"))
    recipe = make_recipe(tmp_path, base)
    decomposition = extend(base, recipe.tokenizer_folder, pieces=pieces)
    if special:
        with pytest.raises(RedwhaleError, match="421 base tokens, 420 rows"):
            run(recipe)
        return
    assert run(recipe).counts["rowless_base_tokens"] == 1
    old = load_file(base / "model.safetensors")["lm_head.weight"]
    new = load_file(recipe.model_0_folder / "model.safetensors")["lm_head.weight"]
    assert torch.equal(new[:420], old)
    assert torch.allclose(new[420], old.mean(dim=0), atol=1e-7)
    assert rows_of(recipe.model_0_folder)["first_new_row"] == 421
    for row, parts in enumerate(decomposition, start=421):
        assert torch.allclose(new[row], old[parts].mean(dim=0), atol=1e-7)


def test_no_new_token_links_the_weights(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=[])
    run(recipe)
    made = recipe.model_0_folder / "model.safetensors"
    assert made.samefile(base / "model.safetensors")
    assert rows_of(recipe.model_0_folder)["new_rows"] == 0
    assert rows_of(recipe.model_0_folder)["padding_rows"] == 0


def test_shards_without_the_matrices_are_linked_and_the_index_counts_bytes(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    base = make_base(tmp_path)
    shard_weights(base)
    index = json.loads((base / "model.safetensors.index.json").read_text())
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    run(recipe)
    made = recipe.model_0_folder
    rewritten = {index["weight_map"][name] for name in ("model.embed_tokens.weight", "lm_head.weight")}
    for name in set(index["weight_map"].values()):
        assert (made / name).samefile(base / name) is (name not in rewritten)
    new_index = json.loads((made / "model.safetensors.index.json").read_text())
    assert new_index["weight_map"] == index["weight_map"]
    assert new_index["metadata"]["total_size"] == index["metadata"]["total_size"] + 2 * 28 * 32 * 4
    assert new_index["metadata"]["total_parameters"] == index["metadata"]["total_parameters"] + 2 * 28 * 32
    AutoModelForCausalLM.from_pretrained(made)


def test_a_bf16_checkpoint_stays_bf16_bit_for_bit(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    tensors = {name: tensor.bfloat16() for name, tensor in load_file(base / "model.safetensors").items()}
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    recipe = make_recipe(tmp_path, base)
    decomposition = extend(base, recipe.tokenizer_folder, pieces=PIECES)
    run(recipe)
    new = load_file(recipe.model_0_folder / "model.safetensors")["lm_head.weight"]
    old = tensors["lm_head.weight"]
    assert torch.equal(new[:420].view(torch.int16), old.view(torch.int16))
    assert torch.equal(new[420], old[decomposition[0]].float().mean(dim=0).bfloat16())


def test_nested_text_config_is_updated() -> None:
    from redwhale.weights.expand import expanded_config

    config = {"model_type": "x", "text_config": {"vocab_size": 10, "hidden_size": 4}}
    assert expanded_config(config, 12) == {"model_type": "x", "text_config": {"vocab_size": 12, "hidden_size": 4}}
    assert expanded_config({"vocab_size": 10}, 12) == {"vocab_size": 12}


@pytest.mark.promise("F13")
def test_the_same_again_does_nothing_and_a_changed_method_is_refused(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    first = run(recipe)
    written = (recipe.model_0_folder / "model.safetensors").stat().st_mtime_ns
    assert run(recipe, verify=True) == first
    assert (recipe.model_0_folder / "model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(RedwhaleError, match="head: 'decompose-mean' -> 'mean'"):
        run(make_recipe(tmp_path, base, head="mean"))


@pytest.mark.promise("F13", "F31")
def test_an_existing_model_is_checked_against_the_tokenizer(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    first = run(recipe)
    existing = make_recipe(tmp_path, base, existing="run/model-0")
    assert run(existing).digest == first.digest
    shutil.rmtree(recipe.tokenizer_folder)
    extend(base, recipe.tokenizer_folder, pieces=PIECES[:3])
    with pytest.raises(RedwhaleError, match="made with tokenizer") as caught:
        run(existing)
    assert caught.value.exit_code == 2


@pytest.mark.promise("F2")
@pytest.mark.fault
@pytest.mark.parametrize(
    "point",
    [
        "publish.before_rename:kill@1",
        "publish.after_rename:kill@2",
        "init-model.before_manifest:kill",
    ],
)
def test_a_killed_run_ends_in_the_same_bytes(tmp_path: Path, point: str) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    program = (
        "import sys; from pathlib import Path; from redwhale.core.console import Console; "
        "from redwhale.core.recipe.load import load_recipe; from redwhale.weights import step; "
        "step.run(load_recipe(Path(sys.argv[1])), console=Console(quiet=True))"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program, str(recipe.file)], env=os.environ | {"REDWHALE_FAULT": point}
    )
    assert killed.returncode == -9
    assert not (recipe.model_0_folder / "manifest.json").exists()
    after_kill = run(recipe)
    assert not list(recipe.model_0_folder.glob(".tmp-*"))
    assert run(recipe, fresh=True).digest == after_kill.digest


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_the_stored_precision_is_kept(tmp_path: Path, dtype: torch.dtype) -> None:
    base = make_base(tmp_path)
    tensors = {name: tensor.to(dtype) for name, tensor in load_file(base / "model.safetensors").items()}
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    recipe = make_recipe(tmp_path, base, embedding="multivariate")
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    run(recipe)
    new = load_file(recipe.model_0_folder / "model.safetensors")
    assert {tensor.dtype for tensor in new.values()} == {dtype}
    assert torch.equal(new["lm_head.weight"][:420], tensors["lm_head.weight"])


def test_a_tied_head_that_is_stored_too_gets_the_embedding_s_rows(tmp_path: Path) -> None:
    base = make_base(tmp_path, tied=True)
    tensors = load_file(base / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    recipe = make_recipe(tmp_path, base, embedding="random", head="mean")
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    run(recipe)
    new = load_file(recipe.model_0_folder / "model.safetensors")
    assert torch.equal(new["lm_head.weight"], new["model.embed_tokens.weight"])


def test_a_nested_text_config_goes_through_the_whole_step(tmp_path: Path) -> None:
    """Multimodal checkpoints keep the language model's settings, and name its tensors, one level down."""
    from redwhale.weights.prepare import prepare

    base = make_base(tmp_path)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(
        json.dumps({"model_type": "x", "text_config": config, "tie_word_embeddings": False})
    )
    tensors = {f"language_model.{name}": tensor for name, tensor in load_file(base / "model.safetensors").items()}
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    recipe = make_recipe(tmp_path, base, add_layers={"count": 1, "how": "identity"})
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    job = prepare(recipe, recipe.need("init"))
    assert job.matrices.embedding.name == "language_model.model.embed_tokens.weight" and not job.matrices.tied
    assert job.deeper is not None and job.deeper.prefix == "language_model.model.layers."
    with pytest.raises(RedwhaleError, match="transformers cannot load the model"):
        run(recipe)
    written = json.loads((recipe.model_0_folder / "config.json").read_text())
    assert (written["text_config"]["vocab_size"], written["text_config"]["num_hidden_layers"]) == (448, 5)
    assert "vocab_size" not in written and not (recipe.model_0_folder / "manifest.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["english-20m", "stories260k"])
def test_a_real_model_keeps_its_english(tmp_path: Path, name: str) -> None:
    base = REAL / "models" / name
    if not base.is_dir():
        pytest.skip(f"no real data at {REAL} (REDWHALE_TEST_DATA)")
    recipe = make_recipe(tmp_path, base)
    rows = json.loads((base / "config.json").read_text())["vocab_size"]
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    manifest = run(recipe)
    assert manifest.counts["base_rows"] == rows
    assert manifest.metrics["leak"]["mean"] < 0.01
    assert manifest.metrics["old_logits_change"] == 0.0
