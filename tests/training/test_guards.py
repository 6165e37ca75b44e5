"""Guards while a stage runs: English forgotten, loss spikes, memory and disk that run out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from redwhale.chain import chain_steps
from redwhale.core.artifact import read_manifest
from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.load import load_recipe
from redwhale.core.recipe.pretrain import Spikes
from redwhale.core.recipe.recipe import Recipe
from redwhale.training import guard, measuring, parent
from redwhale.training.data import DataOrder, TokenStore
from redwhale.training.engine import PlainEngine
from redwhale.training.held_out import HeldOut
from redwhale.training.launch import World
from redwhale.training.layout import CHECKPOINTS_NAME
from redwhale.training.stage_data import open_data
from tests import pico
from tests.training import stages
from tests.training.stages import rows, run, stage, write_recipe
from tests.workspace import make_workspace

OLD_ROWS = stages.VOCABULARY - stages.NEW_ROWS


@pytest.mark.promise("F29")
def test_spikes_by_hand() -> None:
    spikes = Spikes(deviations=2, window=8)
    recent = [1.0, 3.0] * 4  # mean 2, deviation 1
    assert not guard.is_spike(3.9, recent, spikes)
    assert guard.is_spike(4.1, recent, spikes)
    assert not guard.is_spike(0.1, recent, spikes)  # a fall is none
    assert not guard.is_spike(4.1, recent[1:], spikes)  # too few
    assert not guard.is_spike(4.1, recent, None)
    assert not guard.is_spike(float("nan"), recent, spikes)  # not finite: another guard's


@pytest.mark.promise("F29")
@pytest.mark.parametrize("deepspeed", [None, {"zero": 2}, {"zero": 3}])
def test_a_spike_is_dropped_and_named_and_data_goes_on(
    tmp_path: Path, starts: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, deepspeed: dict[str, Any] | None
) -> None:
    seen: list[int] = []

    def third(loss: float, recent: Sequence[float], spikes: Spikes | None) -> bool:
        seen.append(len(recent))
        return len(seen) == 3

    monkeypatch.setattr(guard, "is_spike", third)
    recipe = write_recipe(starts(tmp_path), stage(layers="odd"), spikes={"window": 8}, deepspeed=deepspeed)
    manifest = run(recipe)
    assert seen == [0, 1, 2, 2, 3]  # the spike's loss is not among those that later ones are judged by
    steps = [row for row in rows(recipe) if "loss" in row]
    assert [row["skipped"] for row in steps] == [False, False, True, False, False]
    assert len(steps[2]["blocks"]) == 8 and all(name.split(":")[0] in ("news", "docs") for name in steps[2]["blocks"])
    assert "blocks" not in steps[1]
    assert (manifest.counts["skipped_updates"], manifest.counts["steps"]) == (1, 5)


def english_of_old_tokens(base: Path) -> dict[str, list[str]]:
    """Return texts of which the English ones need no token that counts as new."""
    from redwhale.tokenizer.reader import load_tokenizer

    tokenizer = load_tokenizer(base)
    words = [word for line in pico.english_lines() for word in line.split() if word.isalpha()]
    old = [word for word in dict.fromkeys(words) if max(tokenizer.encode(word), default=0) < OLD_ROWS]
    return {"news": pico.korean_documents(120), "docs": [" ".join(old[i : i + 9]) for i in range(0, 300, 3)]}


def test_english_is_compared_with_the_base_s_own(tmp_path: Path) -> None:
    """The base is model 0 without its new rows."""
    from redwhale.corpus.reader import held_out_texts
    from redwhale.measure.bits_per_byte import measure_texts
    from redwhale.tokenizer.reader import load_tokenizer
    from redwhale.training.model import load_model

    root = stages.make_start(tmp_path, texts=english_of_old_tokens)
    recipe = write_recipe(root, stage(layers="odd"), stage("two", layers="even"))
    first, second = run(recipe), run(recipe, 1)
    base = load_model(recipe.model_0_folder)
    base.lm_head.weight = torch.nn.Parameter(base.lm_head.weight[:OLD_ROWS])
    wanted = measure_texts(
        base, load_tokenizer(recipe.model_0_folder), held_out_texts(recipe.corpus_folder, documents=3)["docs"][1],
        document_bytes=60, context_tokens=32, batch_tokens=4096, device="cpu",
    ).bits_per_byte  # fmt: skip
    assert first.metrics["base_english"] == second.metrics["base_english"] == pytest.approx(wanted, rel=1e-6)
    end = second.metrics["end"]["bits_per_byte"]["language"]["en"]
    assert second.counts["english_over_base"] == pytest.approx(end / wanted - 1)
    (gate,) = second.gates
    assert (gate.name, gate.above, gate.do, gate.breached) == ("english_over_base", 0.1, "warn", end > 1.1 * wanted)


def test_english_with_a_new_token_in_it_is_cut_as_the_base_cuts_it(tmp_path: Path) -> None:
    """One sign that the base spelt in bytes must not cost the comparison."""
    from redwhale.corpus.reader import held_out_texts
    from redwhale.measure.bits_per_byte import measure_texts
    from redwhale.tokenizer.reader import load_tokenizer
    from redwhale.training.model import load_model

    folder = make_workspace(tmp_path)
    lines = pico.english_lines()[:400]
    (folder / "en.txt").write_text("\n\n".join(f"{line} 가" for line in lines), encoding="utf-8")
    recipe = load_recipe(folder / "redwhale.yaml", ["pretrain.measure.kobest_questions=0"])
    for made in chain_steps(recipe)[:5]:  # to the first stage
        made.make(console=Console(quiet=True), fresh=False, verify=False)
    texts = held_out_texts(recipe.corpus_folder, documents=4)["docs"][1]
    assert texts and all(max(load_tokenizer(recipe.model_0_folder).encode(text)) >= 600 for text in texts)
    wanted = measure_texts(
        load_model(folder / "base"), load_tokenizer(folder / "base"), texts, document_bytes=128, context_tokens=64,
        batch_tokens=4096, device="cpu",
    ).bits_per_byte  # fmt: skip
    manifest = read_manifest(recipe.stage_folder(0))
    assert manifest.metrics["base_english"] == pytest.approx(wanted, rel=1e-5)
    assert manifest.counts["english_over_base"] is not None


def test_forgotten_english_stops_the_stage_and_a_raised_gate_lets_it_go_on(
    tmp_path: Path, starts: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = starts(tmp_path)
    times: list[int] = []

    def two_percent_more(measured: dict[str, Any], base: float | None) -> float:
        times.append(0)
        return 0.02 * len(times)

    monkeypatch.setattr(guard, "english_over", two_percent_more)
    monkeypatch.setattr(HeldOut, "english_of_base", lambda held_out, engine, base_ids: 9.0)
    settings: dict[str, Any] = {"measure": {"every": 256, "documents": 3, "document_bytes": 60, "samples": 0}}
    strict = {"gates": {"english": {"above": 0.05, "do": "stop"}}}
    recipe = write_recipe(root, stage(layers="odd"), **settings, **strict)
    with pytest.raises(
        RedwhaleError, match=r"English is forgotten: 6.0% more bits per byte than the base's 9.0000 after step 2 of 5"
    ) as caught:
        run(recipe)
    assert caught.value.exit_code == 3 and "goes on from there" in str(caught.value)
    checkpoints = recipe.stage_folder(0) / CHECKPOINTS_NAME
    assert [path.name for path in checkpoints.iterdir()] == ["step-000002"]
    times.clear()
    with pytest.raises(RedwhaleError, match="step 4 of 5"):  # 2: judged again, at 2 % now
        run(recipe)
    manifest = run(write_recipe(root, stage(layers="odd"), **settings, gates={"english": {"above": 1.0, "do": "stop"}}))
    assert manifest.counts["steps"] == 5 and not manifest.stopped_by_gate


def rows_there(recipe: Recipe) -> bool:
    return (recipe.stage_folder(0) / "metrics.jsonl").exists()


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.promise("F7")
def test_no_room_for_a_stage_s_files_is_said_before_it_is_trained(
    tmp_path: Path, starts: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(starts(tmp_path), stage(layers="odd"), checkpoints={"every": 256})
    needed = max(3 * 18_560 * 12, 2 * 18_560 * 12 + (recipe.model_0_folder / "model.safetensors").stat().st_size)
    said = rf"each and the model take 0\.0 GB \({needed:,} bytes\), 0\.0 GB \(1,000 bytes\) are free"
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda folder: _Usage(10**9, 10**9, 1000))
        with pytest.raises(RedwhaleError, match=said) as caught:
            run(recipe)
    assert caught.value.exit_code == 4
    assert not (recipe.stage_folder(0) / CHECKPOINTS_NAME).exists() and not rows_there(recipe)
    with monkeypatch.context() as full:  # another program fills it after the stage has begun
        sizes = iter([10**9, 10**9])
        full.setattr(shutil, "disk_usage", lambda folder: _Usage(10**9, 0, next(sizes, 1000)))
        with pytest.raises(RedwhaleError, match=r"a checkpoint takes .* GB .*, 0\.0 GB .* are free") as caught:
            run(recipe)
    assert caught.value.exit_code == 4
    assert [path.name for path in (recipe.stage_folder(0) / CHECKPOINTS_NAME).iterdir()] == ["step-000001"]
    assert run(recipe).counts["steps"] == 5


@pytest.mark.parametrize("error", [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), MemoryError(),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
])  # fmt: skip
def test_out_of_memory_names_plan_peak_and_cure_and_resumes(
    tmp_path: Path, starts: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    root = starts(tmp_path)
    forward, calls = PlainEngine.forward, []

    def failing(engine: PlainEngine, *arguments: Any, **options: Any) -> Any:
        calls.append(0)
        if len(calls) == 5:  # the third step, two micro-batches each
            raise error
        return forward(engine, *arguments, **options)

    recipe = write_recipe(root, stage(layers="odd"), checkpoints={"every": 256})
    with monkeypatch.context() as short:
        short.setattr(PlainEngine, "forward", failing)
        with pytest.raises(RedwhaleError, match=r"stage one ran out of memory at \d.* the plan is 0.0 GiB") as caught:
            run(recipe)
    assert caught.value.exit_code == 4
    assert "pretrain.recompute: full" in str(caught.value) or "pretrain.micro_batch: 1" in str(caught.value)
    assert "goes on from the last checkpoint" in str(caught.value)
    manifest = run(write_recipe(root, stage(layers="odd"), micro_batch=1))
    assert manifest.counts["steps"] == 5
    assert len([row for row in rows(recipe) if "loss" in row]) == 5


def test_rows_say_how_fast_and_of_what(tmp_path: Path, starts: Callable[..., Path]) -> None:
    parts = stage(layers="odd", head="new") | {"learning_rates": {"head": 5e-3}}
    recipe = write_recipe(starts(tmp_path), parts)
    manifest = run(recipe)
    last = [row for row in rows(recipe) if "loss" in row][-1]
    assert last["learning_rate"] == pytest.approx({"layers": 1e-4, "head": 5e-4})
    assert last["language_shares"] == pytest.approx({"ko": 0.75, "en": 0.25}, abs=0.05)
    assert last["tflops"] > 0 and "mfu" not in last  # a CPU's peak is not known
    assert manifest.metrics["planned_peak_bytes"] > 0
    samples = [json.loads(line) for line in (recipe.stage_folder(0) / "samples.jsonl").read_text().splitlines()]
    assert [(sample["step"], sample["language"]) for sample in samples] == [
        (step, language) for step in (0, 5) for language in ("ko", "en")
    ]  # fmt: skip
    assert samples[0]["prompt"] == samples[2]["prompt"] and len(samples[0]["prompt"]) <= 40


def test_the_first_batch_can_be_read(tmp_path: Path, starts: Callable[..., Path]) -> None:
    recipe = write_recipe(starts(tmp_path), stage(layers="odd"), micro_batch=2)
    run(recipe)
    text = (recipe.stage_folder(0) / "first-batch.txt").read_text()
    assert text.count("=== sequence") == 2 and "--- document 1, " in text
    assert text.splitlines()[0].split(", ")[1].split(":")[0] in ("news", "docs")
    shown = "".join(line for line in text.splitlines() if line[:3] not in ("===", "---"))
    known = "".join(pico.korean_documents(120) + pico.english_lines()).replace(" ", "")
    assert len(shown) > 40 and shown.replace(" ", "")[5:25] in known


def test_a_source_read_too_often_is_refused_or_warned_of(
    tmp_path: Path, starts: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root = starts(tmp_path)
    long = stage(layers="odd", tokens=60_000) | {"mixture": {"docs": 1.0}}
    with pytest.raises(RedwhaleError, match=r"stage one ends with docs read \d+\.\d times, more than `most_epochs` 1"):
        run(write_recipe(root, long, most_epochs=1.0))
    data = TokenStore.open(root / "run" / "tokens")
    blocks = DataOrder(data, mixture={"docs": 1}, sequence_length=32, seed=5, packing="best-fit").blocks["docs"]
    short = stage(layers="odd", tokens=blocks * 32 * 5) | {"mixture": {"docs": 1.0}}
    recipe = write_recipe(root, short)
    console = Console()
    open_data(recipe, 0, world=World(0, 1, torch.device("cpu")), console=console)
    assert "stage one ends with docs read 5." in capsys.readouterr().err


def test_a_stage_may_begin_its_sources_anew(tmp_path: Path, starts: Callable[..., Path]) -> None:
    root = starts(tmp_path)
    stages_ = [stage(layers="odd"), stage("two", layers="even"), stage("three", layers="even") | {"data": "restart"}]
    recipe = write_recipe(root, *stages_)
    cursors = [run(recipe, index).counts["cursor"] for index in range(3)]
    assert cursors[2] == cursors[0]
    assert sum(cursors[1].values()) == 2 * sum(cursors[0].values())


def test_a_stage_that_does_not_begin_where_the_one_before_ended_is_refused(
    tmp_path: Path, starts: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(starts(tmp_path), stage(layers="odd"), stage("two", layers="even"))
    end = run(recipe).metrics["end"]["bits_per_byte"]["source"]
    with monkeypatch.context() as other:
        other.setattr(parent, "parent_end", lambda *of, world: end | {"news": end["news"] + 2e-5})
        with pytest.raises(RedwhaleError, match=r"the stage before ended at .* bits per byte of news") as caught:
            run(recipe, 1)
    assert caught.value.exit_code == 1
    start = run(recipe, 1).metrics["start"]["bits_per_byte"]["source"]
    assert start == pytest.approx(end, abs=1e-5)
    here = World(0, 1, torch.device("cpu"))
    assert parent.parent_end(recipe, 1, world=here) == end
    elsewhere = write_recipe(recipe.file.parent, stage(layers="odd"), stage("two", layers="even"), measure={})
    assert parent.parent_end(elsewhere, 1, world=here) is None  # more documents: not to be compared


def test_samples_of_a_step_stand_once_after_a_kill(tmp_path: Path) -> None:
    path, sample = tmp_path / "samples.jsonl", [{"language": "ko", "prompt": "가", "continuation": "나"}]
    for step in (0, 4, 8, 4):  # killed after step 8, resumed from a checkpoint before step 4
        measuring._write_samples(path, step, sample)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [0, 4]
