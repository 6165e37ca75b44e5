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

from redwhale.core.artifact import Input, Manifest
from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.load import load_recipe
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce
from redwhale.tokenizer.base import tokenizer_files
from redwhale.weights import step
from tests import pico

PIECES = ["▁오늘", "날씨", "도서관", "하", "다"]
REAL = Path(os.environ.get("REDWHALE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def extend(base: Path, folder: Path, *, pieces: list[str]) -> list[list[int]]:
    """Write a tokenizer artifact of base plus ``pieces``, as train-tokenizer does; return the decompositions."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    count = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    decomposition = [[token.id for token in tokenizer.model.tokenize(piece)] for piece in pieces]

    def build() -> Built:
        content = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
        content["model"]["vocab"] |= {piece: count + i for i, piece in enumerate(pieces)}
        (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
        shutil.copyfile(base / "tokenizer_config.json", folder / "tokenizer_config.json")
        extension = {"family": "sentencepiece-bpe", "base_tokens": count, "new_tokens": len(pieces), "pieces": pieces,
                     "decomposition": decomposition}  # fmt: skip
        (folder / "extension.json").write_text(json.dumps(extension), encoding="utf-8")
        return Built([folder / name for name in ("tokenizer.json", "tokenizer_config.json", "extension.json")])

    inputs = tuple(Input(f"base {path.name}", path) for path in tokenizer_files(base))
    plan = Plan("train-tokenizer", "redwhale train-tokenizer", folder, inputs, {"pieces": pieces}, 1)
    produce(plan, build, console=Console(quiet=True))
    return decomposition


def make_recipe(folder: Path, base: Path, **init: object) -> Recipe:
    file = folder / "redwhale.yaml"
    file.write_text(
        json.dumps({"version": 1, "workdir": "run", "base": {"model": str(base)}, "init": init}), encoding="utf-8"
    )
    return load_recipe(file)


def make_base(folder: Path, *, extra_rows: int = 0, tied: bool = False) -> Path:
    base = pico.make_spm_base(folder / "base", vocabulary=420)
    return pico.make_llama(base, rows=pico.token_count(base) + extra_rows, tied=tied)


def run(recipe: Recipe, **more: bool) -> Manifest:
    return step.run(recipe, console=Console(quiet=True), **more)


def rows_of(folder: Path) -> dict[str, object]:
    return json.loads((folder / "rows.json").read_text())


def test_new_rows_are_the_means_and_old_bytes_are_kept(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base, pad_rows_to=64)
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
    assert manifest.metrics["old_logits_change"] < 1e-5
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
    recipe = make_recipe(tmp_path, base, embedding="mean", head="decompose-first")
    decomposition = extend(base, recipe.tokenizer_folder, pieces=PIECES)
    run(recipe)
    old, new = load_file(base / "model.safetensors"), load_file(recipe.model_0_folder / "model.safetensors")
    firsts = [pieces[0] for pieces in decomposition]
    assert torch.equal(new["lm_head.weight"][420:425], old["lm_head.weight"][firsts])
    mean = old["model.embed_tokens.weight"].mean(dim=0)
    assert torch.allclose(new["model.embed_tokens.weight"][420:425], mean.expand(5, -1), atol=1e-7)


def test_a_tied_model_stays_tied(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    base = make_base(tmp_path, tied=True)
    recipe = make_recipe(tmp_path, base, head="mean")  # the head of a tied model follows the embedding
    decomposition = extend(base, recipe.tokenizer_folder, pieces=PIECES)
    run(recipe)
    assert rows_of(recipe.model_0_folder)["tied"] is True
    with safe_open(recipe.model_0_folder / "model.safetensors", "pt") as file:
        assert "lm_head.weight" not in file.keys()  # noqa: SIM118
    model = AutoModelForCausalLM.from_pretrained(recipe.model_0_folder)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    old = load_file(base / "model.safetensors")["model.embed_tokens.weight"]
    assert torch.allclose(model.lm_head.weight[420], old[decomposition[0]].mean(dim=0), atol=1e-7)


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


def test_fewer_rows_than_tokens_is_refused_with_both_numbers(tmp_path: Path) -> None:
    base = make_base(tmp_path, extra_rows=-1)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    with pytest.raises(RedwhaleError, match="does not fit the model: 420 base tokens, 419 rows") as caught:
        run(recipe)
    assert caught.value.exit_code == 2


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
    AutoModelForCausalLM.from_pretrained(base).save_pretrained(base, max_shard_size="60KB")
    (base / "model.safetensors").unlink(missing_ok=True)
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


def change_config(base: Path, **changes: object) -> None:
    config = json.loads((base / "config.json").read_text()) | changes
    (base / "config.json").write_text(json.dumps(config))


def change_tensors(base: Path, changes: dict[str, torch.Tensor]) -> None:
    save_file(load_file(base / "model.safetensors") | changes, base / "model.safetensors", metadata={"format": "pt"})


def quantised(base: Path) -> None:
    change_config(base, quantization_config={"quant_method": "gptq"})


def integer(base: Path) -> None:
    change_tensors(base, {"model.layers.0.mlp.up_proj.weight": torch.zeros(64, 32, dtype=torch.int8)})


def rows_disagree(base: Path) -> None:
    change_config(base, vocab_size=400)


def falsely_tied(base: Path) -> None:
    change_config(base, tie_word_embeddings=True)


def headless(base: Path) -> None:
    tensors = load_file(base / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})


def biased(base: Path) -> None:
    change_tensors(base, {"lm_head.bias": torch.zeros(420)})


def truncated(base: Path) -> None:
    data = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(data[:-10])


def pickled(base: Path) -> None:
    (base / "model.safetensors").rename(base / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (quantised, "quantised"),
        (integer, "up_proj.weight is I8"),
        (rows_disagree, "vocab_size 400, model.embed_tokens.weight 420"),
        (falsely_tied, "ties embedding and head, yet the stored ones differ"),
        (headless, "no output head"),
        (biased, "lm_head.bias"),
        (truncated, "damaged or cut off"),
        (pickled, "pickled weights only .pytorch_model.bin."),
    ],
)
def test_unfit_bases_are_refused(tmp_path: Path, spoil, reason: str) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    spoil(base)
    with pytest.raises(RedwhaleError, match=reason) as caught:
        run(recipe)
    assert caught.value.exit_code == 2
    assert not (recipe.model_0_folder / "manifest.json").exists()


def test_a_decomposition_into_ids_that_are_not_the_base_s_is_refused(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    path = recipe.tokenizer_folder / "extension.json"
    extension = json.loads(path.read_text())
    extension["decomposition"][3] = [421]
    path.write_text(json.dumps(extension))
    with pytest.raises(RedwhaleError, match=r"new token 3 is made of \[421\]"):
        run(recipe)


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


def test_verify_finds_a_changed_byte(tmp_path: Path) -> None:
    from redwhale.weights import checkpoint, expand, verify

    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    run(recipe)
    opened = checkpoint.open_checkpoint(base)
    matrices = expand.find_matrices(opened)
    layout = expand.plan_rows(expand.read_extension(recipe.tokenizer_folder), 420, pad_rows_to=64)
    made = checkpoint.open_checkpoint(recipe.model_0_folder)
    faults = {
        "base rows of lm_head.weight": made.tensors["lm_head.weight"].start + 7,
        "model.norm.weight differs": made.tensors["model.norm.weight"].start,
    }
    for reason, place in faults.items():
        path = recipe.model_0_folder / "model.safetensors"
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        path.write_bytes(data)
        with pytest.raises(RedwhaleError, match=reason):
            verify.verify_weights(opened, made, layout=layout, matrices=matrices)
        data[place] ^= 1
        path.write_bytes(data)
    verify.verify_weights(opened, made, layout=layout, matrices=matrices)


def test_leak_by_hand() -> None:
    from redwhale.weights.verify import leak

    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.9, 0.05, 0.05]]))
    measured = leak(logits, 2)
    assert measured["mean"] == pytest.approx(0.15)
    assert measured["highest"] == pytest.approx(0.25)


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
    assert manifest.metrics["old_logits_change"] < 1e-3


def test_a_tokenizer_of_another_base_is_refused(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    other = pico.make_spm_base(tmp_path / "other", vocabulary=400)
    recipe = make_recipe(tmp_path, base)
    extend(other, recipe.tokenizer_folder, pieces=["가나"])
    with pytest.raises(RedwhaleError, match="the tokenizer was made from another base") as caught:
        run(recipe)
    assert caught.value.exit_code == 2 and not recipe.model_0_folder.exists()


def test_a_base_of_many_rows_without_a_token_is_refused(tmp_path: Path) -> None:
    base = make_base(tmp_path, extra_rows=1500)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=["가나"])
    with pytest.raises(RedwhaleError, match=r"1500 rows|rows without") as caught:
        run(recipe)
    assert caught.value.exit_code == 2
