"""The whole chain on a pico base and a pico corpus, through the command line, on a CPU."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from redwhale.card import card
from redwhale.card.facts import gather
from redwhale.chain import run_chain
from redwhale.core.artifact import read_manifest, write_manifest
from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.load import load_recipe
from tests.workspace import make_workspace, redwhale


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_workspace(tmp_path_factory.mktemp("chain"))
    done = redwhale("run", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "run.json").write_text(done.stdout)
    return folder


def test_every_step_is_done_and_a_second_run_does_nothing(workspace: Path) -> None:
    document = json.loads((workspace / "run.json").read_text())
    names = list(document["steps"])
    assert names == [
        "preprocess", "train-tokenizer", "init-model", "pack", "stage 1 embeddings", "stage 2 odd", "stage 3 lora",
        "bits per byte base", "bits per byte 0", "bits per byte 1", "bits per byte 2", "bits per byte 3",
        "kobest overlap", "kobest base", "kobest 3",
    ]  # fmt: skip
    before = {p: p.stat().st_mtime_ns for p in workspace.joinpath("run").rglob("*") if p.is_file()}
    done = redwhale("run", cwd=workspace)
    assert done.returncode == 0 and done.stderr.count("unchanged") == len(names), done.stderr
    assert before == {p: p.stat().st_mtime_ns for p in workspace.joinpath("run").rglob("*") if p.is_file()}
    states = {row["state"] for row in json.loads(redwhale("status", "--json", cwd=workspace).stdout)["steps"]}
    assert states == {"done"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("evaluate.kobest.data=./nowhere", "KoBEST lacks the train split of boolq"),
        ("base.model=./nowhere", "there is no folder './nowhere'"),
        ("pretrain.optimizer=adamw-8bit", "the `bitsandbytes` package is not installed"),
    ],
)
def test_what_a_late_step_lacks_is_said_before_the_first_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, said: str
) -> None:
    recipe = load_recipe(make_workspace(tmp_path) / "redwhale.yaml", [change])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RedwhaleError, match=re.escape(said)) as caught:
        run_chain(recipe, console=Console(quiet=True))
    assert caught.value.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_a_few_questions_are_asked_at_each_measurement(workspace: Path) -> None:
    rows = [json.loads(line) for line in (workspace / "run" / "stage-2-odd" / "metrics.jsonl").read_text().splitlines()]
    asked = {row["step"]: row["after"]["kobest"] for row in rows if "after" in row}
    assert list(asked) == [0, 4] and set(asked[0]) == {"boolq", "copa", "wic", "hellaswag", "sentineg"}
    assert all(scores["acc"] in (0.0, 1.0) for scores in asked[0].values())


def test_every_model_has_a_card_that_says_what_was_measured(workspace: Path) -> None:
    card = (workspace / "run" / "stage-3-lora" / "model" / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(card.split("---")[1])
    assert front["language"] == ["ko", "en"] and front["license"] == "unknown" and "base_model" not in front
    scores = json.loads((workspace / "run/evaluation/stage-3-lora/kobest-1-shot-first-2/kobest.json").read_text())
    assert "| mean |  |" in card and f"{scores['mean']['macro_f1']:.4f} (" in card
    assert "the first 2 questions of each task" in card and "KoBEST has not been asked" not in card
    assert "| embeddings | embedding new, head all |" in card and "## 한국어" in card
    first = (workspace / "run" / "stage-1-embeddings" / "model" / "README.md").read_text(encoding="utf-8")
    assert "KoBEST has not been asked yet: `redwhale run`" in first and "| lora |" not in first
    assert str(workspace) not in card + first  # a card is for the public


def test_a_card_says_what_was_trained_and_not_what_the_recipe_says_now(workspace: Path) -> None:
    changes = ["pretrain.stages.1.learning_rate=0.5", "pretrain.weight_decay=0.3", "tokenizer.new_tokens=77"]
    facts = gather(load_recipe(workspace / "redwhale.yaml", changes), 1)
    settings = yaml.safe_load(facts["recipe"])
    assert [stage["name"] for stage in settings["pretrain"]["stages"]] == ["embeddings", "odd"]
    assert [stage["learning_rate"] for stage in settings["pretrain"]["stages"]] == [1e-2, 1e-2]
    assert settings["pretrain"]["weight_decay"] == 0.1 and settings["tokenizer"]["new_tokens"] == 40
    assert [stage["learning_rate"] for stage in facts["stages"]] == ["0.01", "0.01"]
    assert settings["pretrain"]["stages"][1]["ran"]["optimizer"].startswith("torch AdamW")


@pytest.mark.parametrize(("place", "said"), [
    ("stage-1-embeddings", "made again"), ("model-0", "made again"), ("corpus", "made again"),
])  # fmt: skip
def test_a_card_is_not_written_of_what_was_made_again(workspace: Path, tmp_path: Path, place: str, said: str) -> None:
    run = Path(shutil.copytree(workspace / "run", tmp_path / "run", symlinks=True))
    recipe = load_recipe(workspace / "redwhale.yaml", [f"workdir={run}"])
    assert gather(recipe, 2)["digest"]
    manifest = read_manifest(run / place)
    first = manifest.outputs[0].model_copy(update={"sha256": "0" * 64})
    write_manifest(run / place, manifest.model_copy(update={"outputs": [first, *manifest.outputs[1:]]}))
    with pytest.raises(RedwhaleError, match=said):
        gather(recipe, 2)


def test_a_card_names_the_base_that_was_read_whatever_the_recipe_names_now(workspace: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(workspace / "base", tmp_path / "other"))
    (base / "README.md").write_text("---\nlicense: mit\n---\n")
    facts = gather(load_recipe(workspace / "redwhale.yaml", [f"base.model={base}"]), 2)
    assert facts["base"] == {"model": "base", "revision": None, "licence": {}, "is_folder": True}


@pytest.mark.parametrize("key", ["counts", "fields"])
def test_a_manifest_that_lacks_numbers_costs_the_card_alone(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    run = Path(shutil.copytree(workspace / "run", tmp_path / "run", symlinks=True))
    path = run / "stage-3-lora" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: {}}))
    (run / "stage-3-lora" / "model" / "README.md").unlink()
    card.refresh(load_recipe(workspace / "redwhale.yaml", [f"workdir={run}"]), 2, console=Console(quiet=True))
    assert "the model card is not written: a manifest has not all it needs" in capsys.readouterr().err


def test_a_size_chosen_by_the_curve_goes_on_to_a_model(workspace: Path, tmp_path: Path) -> None:
    auto = ("--set", "tokenizer.new_tokens=auto", "--set", f"workdir={tmp_path}")
    corpus = ("--set", f"preprocess={{existing: {workspace / 'run' / 'corpus'}}}")
    for command in ("train-tokenizer", "init-model"):
        done = redwhale(command, *auto, *corpus, cwd=workspace)
        assert done.returncode == 0, done.stderr


def test_models_stand_side_by_side(workspace: Path) -> None:
    done = redwhale("eval", "compare", "base", "3", "--page", "page.md", "--json", cwd=workspace)
    assert done.returncode == 0, done.stderr
    measures = json.loads(done.stdout)["measures"]
    assert set(measures) == {"bits_per_byte", "kobest-1-shot-first-2"}
    ratios = measures["bits_per_byte"]["texts"]["all ko"]["3"]
    assert ratios["token_ratio"] < 1 and (workspace / "page.md").read_text(encoding="utf-8").startswith(
        "# base against 3"
    )


def test_what_a_model_writes_and_what_it_keeps_of_english(workspace: Path) -> None:
    for command, key in (("samples", "seq_rep_4"), ("retention", "kl_nats_per_token")):
        done = redwhale("eval", command, "-m", "0", "-m", "3", "--json", cwd=workspace)
        assert done.returncode == 0, done.stderr
        models = json.loads(done.stdout)["models"]
        assert list(models) == ["0", "3"] and f'"{key}"' in done.stdout
    assert models["0"]["all"]["logits_equal"] is True and models["0"]["all"]["kl_nats_per_token"] < 1e-6
    assert models["3"]["all"]["kl_nats_per_token"] > 0
    again = redwhale("eval", "retention", "-m", "0", cwd=workspace)
    assert "unchanged" in again.stderr and "same likeliest token" in again.stdout


def test_a_run_with_nothing_to_do_imports_nothing_heavy(workspace: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "redwhale", "run"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=workspace)
    assert done.returncode == 0 and "redwhale.training.step" in done.stderr
    imported = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    heavy = {"torch", "transformers", "deepspeed", "tokenizers", "sentencepiece", "numba", "pyarrow", "datasets"}
    assert not imported & heavy


def test_the_last_model_loads_without_redwhale_and_gives_the_same_logits(workspace: Path) -> None:
    code = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
ids = tokenizer("할머니께서 담그신 김치", return_tensors="pt").input_ids
torch.save({"ids": ids, "logits": model(ids).logits.detach()}, sys.argv[2])
print(len(tokenizer), model.config.vocab_size)
assert not [m for m in sys.modules if m.startswith("redwhale")]
"""
    model = workspace / "run" / "stage-3-lora" / "model"
    plain = workspace / "plain.pt"
    command = [sys.executable, "-c", code, str(model), str(plain)]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    tokens, rows = map(int, done.stdout.split())
    assert tokens <= rows and rows % 8 == 0
    import torch

    from redwhale.core.recipe.stages import Train
    from redwhale.training.model import prepare

    stored = torch.load(plain, weights_only=True)
    ours = prepare(model, Train(embedding="new", head="new")).module.eval()  # rows in blocks, as in training
    with torch.no_grad():
        logits = ours(stored["ids"]).logits
    assert stored["logits"].std() > 0.1
    torch.testing.assert_close(logits, stored["logits"], rtol=1e-5, atol=1e-5)
    steps = json.loads((workspace / "run.json").read_text())["steps"]
    gaps = [step["metrics"]["export_logit_gap"] for name, step in steps.items() if name.startswith("stage")]
    assert len(gaps) == 3 and max(gaps) < 1e-5  # what the trained model gave before it was written, fp32


def test_korean_improves_and_the_stages_follow_each_other(workspace: Path) -> None:
    steps = json.loads((workspace / "run.json").read_text())["steps"]
    korean = [steps[f"bits per byte {i}"]["metrics"]["languages"]["ko"]["bits_per_byte"] for i in range(4)]
    assert korean[3] < korean[0]
    cursors = [steps[name]["counts"]["cursor"] for name in steps if name.startswith("stage")]
    assert all(a["stories"] < b["stories"] for a, b in itertools.pairwise(cursors))


def test_lineage_reaches_the_sources(workspace: Path) -> None:
    shown = redwhale("show", "lineage", cwd=workspace)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0] == f"paths below {workspace}" and lines[1].startswith("run/stage-3-lora  pretrain, ")
    leaves = [line for line in lines if "stories: ko.jsonl  " in line]
    assert len(leaves) == 1 and leaves[0].endswith(", no licence given")
    source = workspace / "ko.jsonl"
    verified = redwhale("show", "lineage", "run/stage-3-lora/model", "--verify", "--json", cwd=workspace)
    assert verified.returncode == 0, verified.stderr
    checked = json.loads(verified.stdout)["checked"]
    assert checked["rehashed"] and checked["results"] == 7
    kept = source.read_bytes()
    source.write_bytes(kept + b"\n")
    try:
        assert redwhale("show", "lineage", cwd=workspace).returncode == 0
        refused = redwhale("show", "lineage", "--verify", cwd=workspace)
    finally:
        source.write_bytes(kept)
    assert refused.returncode == 2 and "source:stories/ko.jsonl has changed since it was read" in refused.stderr


def test_a_changed_recipe_is_refused_with_the_difference(workspace: Path) -> None:
    done = redwhale("pretrain", "--stage", "2", "--set", "pretrain.stages.1.learning_rate=5e-3", cwd=workspace)
    assert done.returncode == 2
    assert "learning_rate: 0.01 -> 0.005" in done.stderr and "--fresh" in done.stderr


def test_cures_for_memory_change_nothing(workspace: Path) -> None:
    done = redwhale(
        "pretrain", "-s", "2", "--set", "pretrain.micro_batch=1", "--set", "pretrain.recompute=true", cwd=workspace
    )
    assert done.returncode == 0 and "unchanged" in done.stderr, done.stderr


def test_a_stage_out_of_order_names_the_one_before(workspace: Path, tmp_path: Path) -> None:
    done = redwhale("pretrain", "--stage", "2", "--set", f"workdir={tmp_path}/other", cwd=workspace)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "other" / "stage-2-odd" / "manifest.json").exists()


@pytest.mark.slow
@pytest.mark.promise("F32", "S1")
def test_the_chain_runs_without_a_network_in_the_c_locale_below_a_korean_path(tmp_path: Path) -> None:
    folder = tmp_path / "말뭉치 모음" / "내 모델 (하나)"
    folder.mkdir(parents=True)
    make_workspace(folder)
    (folder / "redwhale.yaml").rename(folder / "레시피 하나.yaml")
    (folder / "ko.jsonl").rename(folder / "한국어 글.jsonl")
    plain = {"LC_ALL": "C", "LANG": "C"}
    nowhere = dict.fromkeys(["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"], "http://127.0.0.1:9")
    secrets = {"HF_TOKEN": "hf_0123456789abcdefgh", "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567"}
    environment = os.environ | plain | nowhere | secrets | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "없음")}
    changes = [
        "-c",
        "레시피 하나.yaml",
        "--set",
        "preprocess.sources.0.path=한국어 글.jsonl",
        "--set",
        "workdir=결과 하나",
    ]
    command = [sys.executable, "-m", "redwhale", "run", "--json", *changes]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    steps = json.loads(done.stdout.decode("utf-8"))["steps"]
    assert {"preprocess", "train-tokenizer", "init-model", "stage 3 lora", "kobest 3"} <= set(steps)
    result = folder / "결과 하나"
    assert "한국어 글.jsonl" in (result / "corpus" / "manifest.json").read_text("utf-8")
    for path in [path for path in result.rglob("*") if path.suffix in (".json", ".jsonl", ".txt", ".yaml", ".md")]:
        text = path.read_text("utf-8")  # whatever the locale
        assert not any(secret in text for secret in secrets.values()), path
    again = subprocess.run(command, cwd=folder, env=environment, capture_output=True)
    assert again.returncode == 0 and again.stderr.count(b"unchanged") == len(steps)
