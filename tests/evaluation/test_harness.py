"""``eval harness``: tasks of lm-evaluation-harness over local files; what needs the package is skipped without it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import pytest

from redwhale.core.artifact import Manifest
from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.evaluation import harness, harness_results
from redwhale.measure import models
from tests.evaluation.test_targets import base, recipe_for

__all__ = ["base"]
QUESTIONS = [
    {"text": "The whale swims in the", "one": "sea", "two": "tree", "label": 0},
    {"text": "The bird sits in the", "one": "fire", "two": "tree", "label": 1},
    {"text": "고래는 어디에 사나?", "one": "바다", "two": "하늘", "label": 0},
    {"text": "새는 어디를 나나?", "one": "바다", "two": "하늘", "label": 1},
]
TASK = {
    "dataset_path": "json", "output_type": "multiple_choice", "test_split": "test", "fewshot_split": "train",
    "doc_to_text": "{{text}}", "doc_to_target": "label", "doc_to_choice": "{{[one, two]}}",
    "metric_list": [
        {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
        {"metric": "acc_norm", "aggregation": "mean", "higher_is_better": True},
    ],
    "metadata": {"version": 1.5},
}  # fmt: skip


def write_task(folder: Path, name: str, **settings: Any) -> None:
    """Write a task file, which is JSON and so YAML, and its data under a path relative to the folder."""
    folder.mkdir(exist_ok=True)
    lines = "".join(json.dumps(question, ensure_ascii=False) + "\n" for question in QUESTIONS)
    for split in ("train", "test"):
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    data = {"data_files": {"train": "train.jsonl", "test": "test.jsonl"}, "cache_dir": str(folder.parent / "cache")}
    content = {"task": name, **TASK, "dataset_kwargs": data, **settings}
    (folder / f"{name}.yaml").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def make(folder: Path, base: Path, *tasks: str, **settings: Any) -> Recipe:
    return recipe_for(folder, base, evaluate={"harness": {"tasks": list(tasks), "include": "tasks", **settings}})


def run(recipe: Recipe, **more: bool) -> Manifest:
    pytest.importorskip("lm_eval")
    return harness.run(recipe, "base", console=Console(quiet=True), **more)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tasks": ["kmmlu"]}, "harness-kmmlu"),
        ({"tasks": ["kmmlu", "haerae", "kmmlu"], "shots": 5}, "harness-haerae+kmmlu-5-shot"),
        ({"tasks": ["click"], "shots": 0, "limit": 10}, "harness-click-0-shot-first-10"),
        ({"tasks": ["../up"]}, "harness-1-tasks-522ac460"),
    ],
)
def test_the_folder_tells_protocols_apart(tmp_path: Path, base: Path, settings: dict[str, Any], words: str) -> None:
    recipe = recipe_for(tmp_path, base, evaluate={"harness": settings})
    assert harness.result_folder(recipe, "base") == tmp_path / "run" / "evaluation" / "base" / words


def test_many_tasks_have_a_short_name_of_their_own(tmp_path: Path, base: Path) -> None:
    names = {
        harness.result_folder(make(tmp_path, base, *[f"{word}_{i}" for i in range(20)]), "base").name
        for word in ("kmmlu", "haerae")
    }
    assert len(names) == 2
    assert all(name.startswith("harness-20-tasks-") and len(name) < 30 for name in names)


def test_no_tasks_name_the_key_and_the_option(tmp_path: Path, base: Path) -> None:
    for call in (harness.plan, harness.result_folder):
        with pytest.raises(
            RedwhaleError, match=r"set `evaluate\.harness\.tasks`, or name them with `--tasks`"
        ) as caught:
            call(recipe_for(tmp_path, base, evaluate={}), "base")
        assert caught.value.exit_code == 2


def test_a_missing_package_is_said_before_anything_is_loaded(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tasks").mkdir()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(models, "load_model", lambda *args, **more: pytest.fail("loaded"))
    with pytest.raises(RedwhaleError, match=r"pip install 'redwhale\[lm-eval\]'") as caught:
        harness.run(make(tmp_path, base, "tiny"), "base", console=Console(quiet=True))
    assert caught.value.exit_code == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({"lm_eval": "0.4.9.1", "datasets": "5.2.0"}, r"lm_eval 0\.4\.9\.1 is too old.*'lm_eval>=0\.4\.13'"),
        ({"lm_eval": "0.4.13", "datasets": "3.6.0"}, r"datasets 3\.6\.0 is too old.*'datasets>=4'"),
        ({"lm_eval": "0.4.13.dev1", "datasets": "4.0.0"}, None),
    ],
)
def test_old_packages_are_refused(versions: dict[str, str], said: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    if said is None:
        harness.need_package()
    else:
        with pytest.raises(RedwhaleError, match=said):
            harness.need_package()


def test_the_plan_holds_task_files_and_what_changes_scores(tmp_path: Path, base: Path) -> None:
    write_task(tmp_path / "tasks", "tiny")
    (tmp_path / "tasks" / "__pycache__").mkdir()
    for name in ("__pycache__/utils.pyc", ".hidden"):
        (tmp_path / "tasks" / name).touch()
    plan = harness.plan(make(tmp_path, base, "tiny", "small", batch=2), "base")
    assert plan.fields == {"tasks": ["small", "tiny"], "shots": None, "limit": None, "dtype": "stored"}
    roles = [item.role for item in plan.inputs if item.role.startswith("task file")]
    assert roles == ["task file test.jsonl", "task file tiny.yaml", "task file train.jsonl"]
    assert "eval harness --model base" in plan.command


def test_a_missing_include_folder_is_named(tmp_path: Path, base: Path) -> None:
    with pytest.raises(RedwhaleError, match=r"evaluate\.harness\.include: .*tasks: there is no such folder") as caught:
        harness.plan(make(tmp_path, base, "tiny"), "base")
    assert caught.value.exit_code == 2


def test_scores_take_the_metrics_and_leave_what_is_not_one() -> None:
    measured = {
        "name": "t", "alias": "T", "sample_len": 4, "acc,none": 0.5, "acc_stderr,none": 0.25,
        "exact_match,strict": 1, "exact_match_stderr,strict": 0.0, "f1,none": 0.4, "f1_stderr,none": "N/A",
    }  # fmt: skip
    assert harness_results.scores_of("t", measured) == {
        "questions": 4, "acc": 0.5, "acc_stderr": 0.25, "exact_match/strict": 1.0, "exact_match/strict_stderr": 0.0,
        "f1": 0.4,
    }  # fmt: skip
    with pytest.raises(RedwhaleError, match="the task t: acc is not a number"):
        harness_results.scores_of("t", {"sample_len": 1, "acc,none": math.nan})


def test_a_question_is_one_record_whatever_filters_it_has() -> None:
    item = {"doc_id": 3, "prompt_hash": "ab", "target": 1, "resps": [[(-1.5, False)]], "metrics": ["acc"]}
    items = [{**item, "filter": "none", "acc": 1.0}, {**item, "filter": "strict", "acc": (0, math.inf)}]
    assert harness_results.sample_records({"t": items}) == [
        {
            "task": "t", "doc_id": 3, "prompt_sha256": "ab", "target": 1,
            "metrics": {"acc": 1.0, "acc/strict": [0, None]},
        }
    ]  # fmt: skip
    spoilt = {**items[0], "resps": [[(math.nan, False)], [(-1.0, False)]]}
    with pytest.raises(RedwhaleError, match="the task t: the log-likelihood of question 3 is not a number"):
        harness_results.sample_records({"t": [spoilt]})


def test_scores_samples_and_protocol(tmp_path: Path, base: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_task(tmp_path / "tasks", "tiny")
    recipe = make(tmp_path, base, "tiny", shots=2)
    manifest = run(recipe)
    folder = tmp_path / "run" / "evaluation" / "base" / "harness-tiny-2-shot"
    text = (folder / "harness.json").read_text(encoding="utf-8")
    result = json.loads(text)
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(s["task"], s["doc_id"], s["target"]) for s in samples] == [("tiny", i, i % 2) for i in range(4)]
    assert len({s["prompt_sha256"] for s in samples}) == 4
    scores = result["tasks"]["tiny"]
    assert set(scores) == {"questions", "acc", "acc_stderr", "acc_norm", "acc_norm_stderr"}
    for metric in ("acc", "acc_norm"):
        assert scores[metric] == pytest.approx(sum(s["metrics"][metric] for s in samples) / 4)
    accuracy = scores["acc"]
    assert scores["acc_stderr"] == pytest.approx(math.sqrt(accuracy * (1 - accuracy) / 3))
    protocol = result["protocol"]
    assert protocol["versions"] == {"tiny": "1.5"} and protocol["shots"] == {"tiny": 2}
    assert protocol["adds_bos"] is True and protocol["context_tokens"] == 512 and protocol["limit"] is None
    assert protocol["weights_dtype"] == protocol["softmax_dtype"] == "float32"
    assert protocol["seeds"]["examples"] == 1234
    assert manifest.counts == {"questions": 4} and manifest.metrics["tasks"] == result["tasks"]
    assert result["groups"] == {} and str(tmp_path) not in text and "second" not in text
    assert capfd.readouterr() == ("", "")


def test_the_scores_are_those_of_our_own_likelihoods(tmp_path: Path, base: Path) -> None:
    import torch

    from redwhale.evaluation import targets
    from redwhale.measure.likelihood import Window, window_nats

    write_task(tmp_path / "tasks", "tiny")
    run(make(tmp_path, base, "tiny"))
    folder = tmp_path / "run" / "evaluation" / "base" / "harness-tiny"
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    model, tokenizer = models.load_model(base, torch.device("cpu")), targets.load_default_tokenizer(base)
    for question, sample in zip(QUESTIONS, samples, strict=True):
        prompt = tokenizer(question["text"])["input_ids"]
        wholes = [tokenizer(f"{question['text']} {question[choice]}")["input_ids"] for choice in ("one", "two")]
        windows = [Window(whole, scored=len(whole) - len(prompt)) for whole in wholes]
        nats = list(window_nats(model, windows, batch_tokens=4096, device="cpu"))
        assert sample["metrics"]["acc"] == float((nats[1] < nats[0]) == question["label"])


def test_same_files_whatever_the_order_and_the_batch(tmp_path: Path, base: Path) -> None:
    digests = set()
    for place, (tasks, batch) in enumerate([(("tiny", "small"), 1), (("small", "tiny"), 8)]):
        folder = tmp_path / str(place)
        folder.mkdir()
        write_task(folder / "tasks", "tiny")
        write_task(folder / "tasks", "small", num_fewshot=1)
        digests.add(run(make(folder, base, *tasks, batch=batch)).digest)
    assert len(digests) == 1


def test_again_is_unchanged_and_a_changed_task_file_is_refused(tmp_path: Path, base: Path) -> None:
    write_task(tmp_path / "tasks", "tiny")
    first = run(make(tmp_path, base, "tiny", limit=3))
    assert first.counts == {"questions": 3}
    assert run(make(tmp_path, base, "tiny", limit=3, batch=1)) == first
    write_task(tmp_path / "tasks", "tiny", description="A question:\n")
    with pytest.raises(RedwhaleError, match=r"input task file tiny\.yaml changed"):
        run(make(tmp_path, base, "tiny", limit=3))
    again = run(make(tmp_path, base, "tiny", limit=3), fresh=True)
    assert again.metrics["protocol"]["prompt_set_sha256"] != first.metrics["protocol"]["prompt_set_sha256"]


def test_shots_are_those_of_the_task_where_it_says_none_or_the_recipe_nothing(
    tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, settings in {"unset": {}, "zero": {"num_fewshot": 0}, "one": {"num_fewshot": 1}}.items():
        write_task(tmp_path / "tasks", name, **settings)
    tasks = ("unset", "zero", "one")
    assert run(make(tmp_path, base, *tasks)).metrics["protocol"]["shots"] == {"one": 1, "unset": 0, "zero": 0}
    assert "warning" not in capsys.readouterr().err
    shots = run(make(tmp_path, base, *tasks, shots=3)).metrics["protocol"]["shots"]
    assert shots == {"one": 3, "unset": 3, "zero": 0}
    assert "asked without examples, as their files have it: zero" in capsys.readouterr().err


def test_the_precision_of_the_weights_is_asked_for(tmp_path: Path, base: Path) -> None:
    write_task(tmp_path / "tasks", "tiny")
    protocol = run(make(tmp_path, base, "tiny", dtype="bfloat16")).metrics["protocol"]
    assert protocol["weights_dtype"] == "bfloat16" and protocol["softmax_dtype"] == "float32"


def test_cut_prompts_are_one_warning(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_task(tmp_path / "tasks", "tiny", description="word " * 600)
    run(make(tmp_path, base, "tiny"))
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(lines) == 1 and "exceeds model's maximum length (512)" in lines[0] and "(and 7 like it)" in lines[0]


def test_weights_that_are_not_numbers_stop(tmp_path: Path, base: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    tensors = load_file(broken / "model.safetensors")
    tensors["model.norm.weight"][0] = math.nan
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    write_task(tmp_path / "tasks", "tiny")
    with pytest.raises(RedwhaleError, match="the task tiny: the log-likelihood of question 0 is not a number"):
        run(make(tmp_path, broken, "tiny"))


def test_data_that_is_not_there_names_the_task_and_the_way_out(tmp_path: Path, base: Path) -> None:
    write_task(tmp_path / "tasks", "tiny", dataset_kwargs={"data_files": {"test": "gone.jsonl"}})
    with pytest.raises(
        RedwhaleError, match=r"data of the task tiny .*gone\.jsonl.*evaluate\.harness\.include"
    ) as caught:
        run(make(tmp_path, base, "tiny"))
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


def test_data_that_cannot_be_read_says_why(tmp_path: Path, base: Path) -> None:
    write_task(tmp_path / "tasks", "tiny")
    (tmp_path / "tasks" / "test.jsonl").write_text("{not json\n", encoding="utf-8")
    with pytest.raises(RedwhaleError, match=r"data of the task tiny cannot be fetched or read \(.*JSON"):
        run(make(tmp_path, base, "tiny"))


def test_a_data_set_of_the_hub_is_not_fetched_offline(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lm_eval")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    write_task(tmp_path / "tasks", "tiny", dataset_path="nobody/nothing", dataset_kwargs={})
    with pytest.raises(RedwhaleError, match=r"the task tiny cannot be fetched or read .*nobody/nothing"):
        run(make(tmp_path, base, "tiny"))


def test_a_broken_task_file_is_one_line(tmp_path: Path, base: Path) -> None:
    write_task(tmp_path / "tasks", "tiny", output_type="guess")
    with pytest.raises(RedwhaleError, match=r"the task tiny cannot be loaded \(ValueError: .*guess") as caught:
        run(make(tmp_path, base, "tiny"))
    assert caught.value.exit_code == 2


def test_code_that_a_model_writes_is_not_run(tmp_path: Path, base: Path) -> None:
    write_task(tmp_path / "tasks", "tiny", unsafe_code=True)
    with pytest.raises(RedwhaleError, match="tiny which is marked as unsafe"):
        run(make(tmp_path, base, "tiny"))


@pytest.mark.slow
def test_an_unknown_task_names_near_ones(tmp_path: Path, base: Path) -> None:
    write_task(tmp_path / "tasks", "tiny")
    with pytest.raises(RedwhaleError, match=r"no task 'kobest_cpa'.*near: .*kobest_copa") as caught:
        run(make(tmp_path, base, "kobest_cpa", "tiny"))
    assert caught.value.exit_code == 2


@pytest.mark.slow
def test_a_group_of_the_folder_is_averaged(tmp_path: Path, base: Path) -> None:
    for name in ("tiny", "small"):
        write_task(tmp_path / "tasks", name)
    metrics = [{"metric": "acc", "aggregation": "mean", "weight_by_size": True}]
    content = {"group": "both", "task": ["tiny", "small"], "aggregate_metric_list": metrics}
    (tmp_path / "tasks" / "both.yaml").write_text(json.dumps(content), encoding="utf-8")
    measured = run(make(tmp_path, base, "both")).metrics
    assert set(measured["tasks"]) == {"tiny", "small"}
    both = measured["groups"]["both"]
    assert both["tasks"] == ["tiny", "small"] and both["questions"] == 8
    assert both["acc"] == pytest.approx(sum(measured["tasks"][name]["acc"] for name in ("tiny", "small")) / 2)
