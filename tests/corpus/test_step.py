"""The preprocess step as a whole: plan, outputs, split, gates, resume, workers, kills."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.corpus import step
from redwhale.corpus.reader import held_out_texts, iterate_texts, read_sources
from tests.corpus.makers import korean, make_recipe, reasons, rows, run, write_jsonl


def two_sources(folder: Path, count: int = 60) -> list[dict]:
    (folder / "data").mkdir(exist_ok=True)
    write_jsonl(folder / "data" / "a.jsonl", [{"id": f"a{i}", "text": korean(i)} for i in range(count)])
    write_jsonl(folder / "data" / "b.jsonl", [{"id": f"b{i}", "text": korean(1000 + i)} for i in range(count)])
    return [{"name": "one", "path": "data/a.jsonl", "licence": "CC0-1.0"}, {"name": "two", "path": "data/b.jsonl"}]


def test_the_plan_names_every_file_sorted_and_no_place(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "sub/c.jsonl"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        write_jsonl(tmp_path / "data" / name, [{"text": korean(1)}])
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "data/**/*.jsonl"}])
    plan = step.plan(recipe)
    assert [item.role for item in plan.inputs] == ["source:s/a.jsonl", "source:s/b.jsonl", "source:s/sub/c.jsonl"]
    assert plan.step == "preprocess" and plan.folder == recipe.corpus_folder
    assert str(tmp_path) not in json.dumps(plan.fields) and "data/" not in json.dumps(plan.fields)
    assert "gates" not in plan.fields and plan.fields["seed"] == 1234
    changed = make_recipe(tmp_path, [{"name": "s", "path": "data/**/*.jsonl"}], filters={"min_chars": 5})
    assert step.plan(changed).fields != plan.fields


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("data/none*.jsonl", "source s: no file matches 'data/none*.jsonl'"),
        ("none.jsonl", "source s: no file matches 'none.jsonl'"),
        ("a.doc", "the format of a.doc is not known by its ending"),
        ("folder", "is a folder, and no saved `datasets` set"),
    ],
)
def test_a_source_without_files_is_named(tmp_path: Path, path: str, words: str) -> None:
    (tmp_path / "a.doc").write_text("text\n")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RedwhaleError) as caught:
        step.plan(make_recipe(tmp_path, [{"name": "s", "path": path}]))
    assert words in str(caught.value) and "preprocess.sources.0.path" in str(caught.value)
    assert caught.value.exit_code == 2


def test_outputs_counts_and_reader(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, two_sources(tmp_path), held_out={"fraction": 0.1})
    manifest = run(recipe)
    assert not (recipe.corpus_folder / "scratch").exists()
    statistics = json.loads((recipe.corpus_folder / "statistics.json").read_text())
    assert [source["name"] for source in statistics["sources"]] == ["one", "two"]
    one = statistics["sources"][0]
    assert one["licence"] == "CC0-1.0" and one["in"]["records"] == 60
    assert one["in"]["characters"] == sum(len(korean(i)) for i in range(60))
    assert one["in"]["bytes"] == sum(len(korean(i).encode()) for i in range(60))
    held_out = one["held_out"]["documents"]
    assert 1 <= held_out <= 20 and one["train"]["documents"] == 60 - held_out
    lengths = sorted(len(korean(i)) for i in range(60))
    assert one["length_characters"]["0%"] == lengths[0] and one["length_characters"]["100%"] == lengths[-1]
    assert one["length_characters"]["50%"] == lengths[30]
    assert manifest.counts["train_documents"] + manifest.counts["held_out_documents"] == 120
    assert not any(gate.breached for gate in manifest.gates)

    sources = read_sources(recipe.corpus_folder)
    assert [source.name for source in sources] == ["one", "two"]
    texts = [text for batch in iterate_texts(sources[0].train_files, batch_documents=7) for text in batch]
    assert len(texts) == sources[0].documents == one["train"]["documents"]
    assert sum(len(text.encode()) for text in texts) == sources[0].text_bytes
    kept = held_out_texts(recipe.corpus_folder, documents=2)
    assert list(kept) == ["one", "two"] and kept["one"][0] == "ko" and len(kept["one"][1]) == min(2, held_out)
    assert not set(kept["one"][1]) & set(texts)
    row = rows(recipe, "train")[0]
    columns = ["id", "text", "source", "language", "file", "row", "url", "licence", "cluster_size", "bits_per_byte"]
    assert list(row) == columns
    assert (row["source"], row["language"], row["file"]) == ("one", "ko", "a.jsonl")
    assert run(recipe) == manifest


def test_an_unfinished_corpus_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(RedwhaleError, match="no finished result"):
        read_sources(tmp_path)


def test_existing_corpora_are_verified_not_made(tmp_path: Path) -> None:
    made = make_recipe(tmp_path, two_sources(tmp_path))
    manifest = run(made)
    recipe = make_recipe(tmp_path, None, existing="run/corpus")
    assert step.plan(recipe).inputs == () and run(recipe, verify=True).digest == manifest.digest
    shard = next((made.corpus_folder / "train").iterdir())
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(RedwhaleError, match="has changed"):
        run(recipe)
    with pytest.raises(RedwhaleError, match="no finished result"):
        run(make_recipe(tmp_path, None, existing="elsewhere"))


def test_copies_of_a_wholly_held_out_source_leave_training(tmp_path: Path) -> None:
    text = " ".join(korean(i) for i in range(12))
    near = text.replace("10명", "열 명")
    write_jsonl(tmp_path / "train.jsonl", [{"id": "exact", "text": text}, {"id": "near", "text": near},
                                           {"id": "other", "text": korean(900)}])  # fmt: skip
    write_jsonl(tmp_path / "test.jsonl", [{"id": "t", "text": text.replace(" ", "  ")}])
    sources = [
        {"name": "train", "path": "train.jsonl"},
        {"name": "test", "path": "test.jsonl", "held_out": {"fraction": "100%"}},
    ]
    recipe = make_recipe(tmp_path, sources, held_out={"fraction": 0})
    run(recipe)
    assert [row["id"] for row in rows(recipe, "train")] == ["other"]
    assert [row["id"] for row in rows(recipe, "held_out")] == ["t"]
    assert {row["id"]: (row["reason"], row["detail"]) for row in rows(recipe, "rejects")} == {
        "exact": ("exact_duplicate", "of test/t"),
        "near": ("near_duplicate", "of test/t"),
    }


def test_what_is_beyond_at_most_of_a_wholly_held_out_source_is_never_trained_on(tmp_path: Path) -> None:
    sources = two_sources(tmp_path)
    sources[1]["held_out"] = {"fraction": 1.0, "at_most": 7}
    recipe = make_recipe(tmp_path, sources)
    manifest = run(recipe)
    assert {row["source"] for row in rows(recipe, "train")} == {"one"}
    assert manifest.metrics["sources"]["two"]["held_out"]["documents"] == 7
    assert manifest.metrics["sources"]["two"]["rejected"] == {"held_out_surplus": 53}


def test_filters_masking_and_duplicates_can_differ_by_source(tmp_path: Path) -> None:
    english = "The harbour museum reopened on Saturday after two years of repairs. Call 010-1234-5678."
    write_jsonl(tmp_path / "a.jsonl", [{"text": english}, {"text": english}, {"text": english.replace("on", "in", 1)}])
    sources = [
        {"name": "ko", "path": "a.jsonl"},
        {"name": "off", "path": "a.jsonl", "filters": "off", "deduplicate": False},
        {"name": "en", "path": "a.jsonl", "language": "en"},
    ]
    recipe = make_recipe(tmp_path, sources, held_out={"fraction": 0})
    manifest = run(recipe)
    rejected = {name: source["rejected"] for name, source in manifest.metrics["sources"].items()}
    assert rejected == {"ko": {"language": 3}, "off": {"exact_duplicate": 1}, "en": {"exact_duplicate": 3}}
    assert all("[전화번호]" in row["text"] for row in rows(recipe, "train"))
    plain = make_recipe(tmp_path, sources[1:2], pii={"action": "off"}, held_out={"fraction": 0})
    run(plain, fresh=True)
    assert all("010-1234-5678" in row["text"] for row in rows(plain, "train"))


def test_shards_end_before_the_limit(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": korean(i)} for i in range(50)])
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl"}], shard_bytes=1000, held_out={"fraction": 0})
    run(recipe)
    files = read_sources(recipe.corpus_folder)[0].train_files
    assert [file.name for file in files[:2]] == ["s-00000.parquet", "s-00001.parquet"]
    sizes = [sum(len(text.encode()) for batch in iterate_texts([file]) for text in batch) for file in files]
    assert all(size <= 1000 for size in sizes) and all(size > 800 for size in sizes[:-1])
    texts = [text for batch in iterate_texts(files) for text in batch]
    assert texts == [korean(i) for i in range(50)]


def test_gates_follow_the_recipe_without_making_the_corpus_again(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": korean(i)} for i in range(99)] + ["kaputt"])
    sources = [{"name": "s", "path": "a.jsonl"}]
    stopped = run(make_recipe(tmp_path, sources))
    gate = stopped.gates[0]
    assert (gate.name, gate.value, gate.above, gate.breached) == ("bad_records", 0.01, 0.001, True)
    assert stopped.stopped_by_gate
    warned = run(make_recipe(tmp_path, sources, gates={"bad_records": {"do": "warn"}}))
    assert warned.gates[0].breached and not warned.stopped_by_gate and warned.digest == stopped.digest
    assert not run(make_recipe(tmp_path, sources, gates={"bad_records": {"above": "1%"}})).gates[0].breached


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "짧다"}])
    with pytest.raises(RedwhaleError, match="no document is left of 1 records") as caught:
        run(make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl"}]))
    assert caught.value.exit_code == 3


def test_order_of_rows_and_details_of_rejects(tmp_path: Path) -> None:
    lines = [{"id": "x", "text": korean(0)}, "kaputt", {"text": korean(0)}, {"text": "짧다"}, {"text": korean(1)}]
    write_jsonl(tmp_path / "a.jsonl", lines)
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl"}])
    run(recipe)
    assert reasons(recipe) == {1: "bad_json", 2: "exact_duplicate", 3: "min_chars"}
    assert [row["detail"] for row in rows(recipe, "rejects")][1:] == ["of s/x", "2, lowest 20"]


SCRIPT = """
import sys
from pathlib import Path
from tests.corpus.makers import make_recipe, run
folder = Path(sys.argv[1])
if __name__ == "__main__":
    recipe = make_recipe(folder, [{"name": "one", "path": "data/a.jsonl"}, {"name": "two", "path": "data/b.jsonl"}],
                         shard_bytes=200_000)
    recipe = recipe.model_copy(update={"machine": recipe.machine.model_copy(update={"workers": int(sys.argv[2])})})
    recipe._file = folder / "redwhale.yaml"
    print(run(recipe).digest)
"""


def in_process(
    folder: Path, *, workers: int = 1, fault: str = "", script: str = SCRIPT
) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "REDWHALE_FAULT": fault, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    file = folder / "script.py"
    file.write_text(script)
    return subprocess.run(
        [sys.executable, str(file), str(folder), str(workers)], capture_output=True, text=True, env=environment
    )


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.promise("F1")
@pytest.mark.parametrize("point", ["publish.before_rename", "publish.after_rename"])
def test_a_killed_run_gives_the_same_bytes_when_run_again(tmp_path: Path, point: str) -> None:
    folders = [tmp_path / name for name in ("straight", "killed")]
    for folder in folders:
        folder.mkdir()
        two_sources(folder, 1500)
    straight = in_process(folders[0])
    assert straight.returncode == 0, straight.stderr
    for passage in (1, 2, 4):
        killed = in_process(folders[1], fault=f"{point}:kill@{passage}")
        assert killed.returncode == -signal.SIGKILL
        assert not (folders[1] / "run" / "corpus" / "manifest.json").exists()
    again = in_process(folders[1])
    assert again.returncode == 0 and again.stdout == straight.stdout, again.stderr
    names = [
        sorted(p.relative_to(f) for p in (f / "run" / "corpus").rglob("*") if p.name != "log.txt") for f in folders
    ]
    assert names[0] == names[1]


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.promise("F1")
def test_what_a_killed_run_has_done_is_not_done_again(tmp_path: Path) -> None:
    """Three publishes a part, after the one that marks the folder: the eighth is in the third part."""
    (tmp_path / "data").mkdir()
    for number in range(5):
        write_jsonl(tmp_path / "data" / f"{number}.jsonl", [{"text": korean(100 * number + i)} for i in range(100)])
    sources = [{"name": f"s{number}", "path": f"data/{number}.jsonl"} for number in range(5)]
    expected = run(make_recipe(tmp_path, sources, held_out={"fraction": 0.1})).digest
    (tmp_path / "run").rename(tmp_path / "straight")
    script = SCRIPT.partition("    recipe = ")[0] + (
        f"    print(run(make_recipe(folder, {sources}, held_out={{'fraction': 0.1}})).digest)\n"
    )
    folder = tmp_path / "run" / "corpus"
    made: list[dict[Path, int]] = []
    for fault in ("publish.after_rename:kill@8", "preprocess.before_manifest:kill", "preprocess.before_manifest:kill"):
        assert in_process(tmp_path, fault=fault, script=script).returncode == -signal.SIGKILL
        done = [*folder.glob("scratch/*/*.*"), *folder.glob("train/*"), *folder.glob("held_out/*")]
        made.append({path: path.stat().st_mtime_ns for path in done if not path.name.startswith(".tmp-")})
    first, second, third = made
    assert len([path for path in first if path.suffix == ".json"]) == 2
    assert all(second[path] == time for path, time in first.items() if path.with_suffix(".json") in first)
    assert {path.parent.name for path in second} >= {"parts", "written", "train", "held_out"}
    gathered_anew = {path for path in second if path.parent.name == "held_out"}
    assert {path for path in second if third[path] != second[path]} == gathered_anew
    done = in_process(tmp_path, fault="preprocess.after_manifest:kill", script=script)
    assert done.returncode == -signal.SIGKILL and (folder / "scratch").exists()
    done = in_process(tmp_path, script=script)
    assert done.stdout.strip() == expected and not (folder / "scratch").exists(), done.stderr


@pytest.mark.promise("F14")
def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    digests = []
    for workers in (1, 3):
        folder = tmp_path / str(workers)
        folder.mkdir()
        two_sources(folder, 6000)  # more than 1 MiB: small inputs never leave the process
        done = in_process(folder, workers=workers)
        assert done.returncode == 0, done.stderr
        digests.append(done.stdout)
    assert digests[0] == digests[1]


def test_the_plan_is_light() -> None:
    code = "import sys, redwhale.corpus.step; print([m for m in ('numpy', 'pyarrow', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
