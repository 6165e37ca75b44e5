"""The step with its options: perplexity, benchmarks, samples, repeated lines, indices, accounts."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.corpus.shards import Written
from redwhale.corpus.statistics import corpus_statistics, source_statistics
from redwhale.corpus.tally import Tally
from redwhale.corpus.waterfall import waterfall
from tests.corpus.makers import korean, make_recipe, reasons, rows, run, write_jsonl

NOTHING_HELD_OUT = {"held_out": {"fraction": 0}}


def statistics_of(recipe: Recipe) -> dict[str, Any]:
    """Return the statistics of a finished corpus."""
    found: dict[str, Any] = json.loads((recipe.corpus_folder / "statistics.json").read_text())
    return found


def article(index: int, sentences: int = 8) -> str:
    """Return several sentences that no other index gives."""
    return " ".join(korean(index * 100 + number) for number in range(sentences))


def test_documents_and_bytes_add_up(tmp_path: Path) -> None:
    texts = [
        article(1), article(1), "짧다", f"<p>{article(2)}</p>", f"{article(3)} 010-1234-5678로 연락",
        f"가\u200b{article(4)}", "\n".join(["로그인", "회원가입", "장바구니", article(5)]),
    ]  # fmt: skip
    write_jsonl(tmp_path / "a.jsonl", [*({"text": text} for text in texts), "kaputt", {"other": 1}])
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl"}], **NOTHING_HELD_OUT)
    run(recipe)
    source = statistics_of(recipe)["sources"][0]
    assert source["in"]["records"] == 9 == source["train"]["documents"] + sum(source["rejected"].values())
    assert source["rejected"] == {"bad_json": 1, "exact_duplicate": 1, "min_chars": 1, "no_text": 1}
    removed, rejected = source["removed_bytes"], source["rejected_bytes"]
    assert source["in"]["bytes"] == source["train"]["bytes"] + sum(rejected.values()) + sum(removed.values())
    assert removed["markup"] > 0 and removed["normalized"] > 0 and removed["lines"] > 0
    assert removed["masked"] == len("010-1234-5678") - len("[전화번호]".encode())
    assert rejected["exact_duplicate"] == len(article(1).encode()) and rejected["min_chars"] == len("짧다".encode())
    assert rejected["bad_json"] == len("kaputt")


def test_accounts_that_do_not_add_up_are_an_error(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl"}])
    source = recipe.need("preprocess").sources[0]
    written = Written(bytes_in=10)
    written.train.update(documents=1, characters=3, bytes=9)
    with pytest.raises(RedwhaleError, match=r"1 records .10 bytes. came in, 1 documents .9. and 0 rejects"):
        source_statistics(source, files=1, tally=Tally(records=1), written=written)
    written.removed["markup"] = 1
    assert source_statistics(source, files=1, tally=Tally(records=1), written=written)["removed_bytes"]["markup"] == 1


def kobest(folder: Path, question: str) -> Path:
    """Write a KoBEST folder whose one BoolQ item asks this question."""
    heads = {
        "BoolQ": ["Text", "Question", "Answer"], "COPA": ["sentence", "question", "1", "2", "Answer"],
        "WiC": ["Target", "SENTENCE1", "SENTENCE2", "ANSWER"], "SentiNeg": ["Text", "Label"],
        "HellaSwag": ["context", "choice1", "choice2", "choice3", "choice4", "label"],
    }  # fmt: skip
    for task, head in heads.items():
        (folder / task).mkdir(parents=True)
        with (folder / task / "test.tsv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t")
            writer.writerow(head)
            if task == "BoolQ":
                writer.writerow(["도서관은 아침에 열고 저녁에 닫는 곳으로 누구나 들어올 수 있다.", question, "True"])
    return folder


def test_benchmark_questions_are_kept_out(tmp_path: Path) -> None:
    question = "도서관은 이른 아침부터 늦은 밤까지 누구에게나 열려 있는가?"
    kobest(tmp_path / "kobest", question)
    contaminated = f"{article(1)} {question.replace(' 늦은', '늦은')} {article(2)}"
    write_jsonl(tmp_path / "a.jsonl", [{"text": contaminated}, {"text": article(3)}])
    choice = {"benchmarks": [{"name": "kobest", "path": "kobest", "splits": ["test"]}]}
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl"}], decontaminate=choice, **NOTHING_HELD_OUT)
    manifest = run(recipe)
    reject = rows(recipe, "rejects")[0]
    assert reject["reason"] == "contaminated" and "boolq test 1 question" in reject["detail"]
    assert [row["text"] for row in rows(recipe, "train")] == [article(3)]
    told = {(row["benchmark"], row["field"]): row for row in statistics_of(recipe)["contamination"]}
    assert told["kobest/boolq", "question"]["contaminated_documents"] == 1
    assert sum(record.role.startswith("benchmark:kobest/") for record in manifest.inputs) == 5


def test_the_folder_of_kobest_is_taken_from_evaluate(tmp_path: Path) -> None:
    kobest(tmp_path / "kobest", "질문이 여기 있는가?")
    write_jsonl(tmp_path / "a.jsonl", [{"text": article(1)}])
    recipe = make_recipe(
        tmp_path,
        [{"name": "s", "path": "a.jsonl"}],
        decontaminate={"benchmarks": [{"name": "kobest", "splits": ["test"]}]},
    )
    with pytest.raises(RedwhaleError, match="nothing says where KoBEST lies"):
        run(recipe)
    with_evaluation = Recipe.model_validate({**recipe.model_dump(), "evaluate": {"kobest": {"data": "kobest"}}})
    with_evaluation._file = recipe.file
    assert run(with_evaluation).counts["train_documents"] == 1


def test_unlikely_documents_go_by_percentiles_of_their_source(tmp_path: Path) -> None:
    noise = [" ".join(chr(0xAC00 + (n * 7919 + k * 104729) % 11172) * 3 for k in range(60)) for n in range(20)]
    texts = [article(index) for index in range(400)]
    for place, text in enumerate(noise):
        texts.insert(place * 20, text)
    write_jsonl(tmp_path / "a.jsonl", [{"id": str(n), "text": text} for n, text in enumerate(texts)])
    write_jsonl(tmp_path / "few.jsonl", [{"text": article(5000 + index)} for index in range(50)])
    sources = [{"name": "s", "path": "a.jsonl", "filters": "off"}, {"name": "few", "path": "few.jsonl"}]
    recipe = make_recipe(
        tmp_path, sources, deduplicate={"near": None},
        perplexity={"drop_lowest": 0, "drop_highest": "5%", "sample": "1MiB"}, **NOTHING_HELD_OUT,
    )  # fmt: skip
    run(recipe)
    gone = [row for row in rows(recipe, "rejects") if row["source"] == "s"]
    assert len(gone) >= 15 and {row["text"] for row in gone} <= set(noise)
    assert {row["reason"] for row in gone} == {"perplexity_high"} and ", highest " in gone[0]["detail"]
    told = statistics_of(recipe)["perplexity"]
    assert told["sources"]["s"]["judged"] == 420 and told["sources"]["s"]["kept"][1] is not None
    assert "only 50 documents" in told["sources"]["few"]["why"]
    assert not [row for row in rows(recipe, "rejects") if row["source"] == "few"]


def test_a_sample_takes_from_training_only(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": article(index)} for index in range(100)])
    sources = [{"name": "s", "path": "a.jsonl"}]
    whole = make_recipe(tmp_path, sources, held_out={"fraction": 0.1})
    held_out = run(whole).counts["held_out_documents"]
    sources[0]["sample"] = {"at_most": {"documents": 20}}
    recipe = make_recipe(tmp_path, sources, held_out={"fraction": 0.1})
    counts = run(recipe, fresh=True).counts
    assert counts["train_documents"] == 20 and counts["held_out_documents"] == held_out
    assert counts["rejected"] == {"sampled_out": 100 - held_out - 20}
    assert "not chosen" in rows(recipe, "rejects")[0]["detail"]


def test_strata_need_the_perplexity_filter(tmp_path: Path) -> None:
    source = {"name": "s", "path": "a.jsonl", "sample": {"strata": {"shares": [0.5, 1]}}}
    with pytest.raises(ValidationError, match=r"sample.strata. of s goes by perplexity"):
        make_recipe(tmp_path, [source])


def test_headers_and_footers_of_a_source_go(tmp_path: Path) -> None:
    footer = "이 글은 우리 동네 소식지에 실린 것입니다"
    texts = [
        "\n".join([article(index), article(900 + index), korean(index), korean(77 + index), footer])
        for index in range(40)
    ]
    write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in texts])
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl"}], deduplicate={"near": None}, **NOTHING_HELD_OUT)
    run(recipe)
    assert not any(footer in row["text"] for row in rows(recipe, "train"))
    source = statistics_of(recipe)["sources"][0]
    assert source["headers_and_footers"] == 1 and source["train"]["documents"] == 40
    assert source["removed_bytes"]["repeated"] >= 40 * len(footer.encode())


def test_a_source_that_keeps_its_headers_does_not_shift_those_of_others(tmp_path: Path) -> None:
    footer = "이 글은 우리 동네 소식지에 실린 것입니다"
    for name, start in (("a", 0), ("b", 2000)):
        texts = ["\n".join([*map(article, (start + n, start + 900 + n)), korean(n), footer]) for n in range(40)]
        write_jsonl(tmp_path / f"{name}.jsonl", [{"text": text} for text in texts])
    keeps = {"repeated_lines": {"action": "keep"}}
    sources = [{"name": "a", "path": "a.jsonl", "clean": keeps}, {"name": "b", "path": "b.jsonl"}]
    recipe = make_recipe(tmp_path, sources, deduplicate={"near": None}, **NOTHING_HELD_OUT)
    run(recipe)
    with_footer = [row["source"] for row in rows(recipe, "train") if footer in row["text"]]
    assert with_footer == ["a"] * 40
    assert [source["headers_and_footers"] for source in statistics_of(recipe)["sources"]] == [0, 1]


def test_repeated_lines_go_corpus_wide_and_what_is_left_with_nothing_is_rejected(tmp_path: Path) -> None:
    line = korean(3) + korean(4)
    write_jsonl(tmp_path / "a.jsonl", [{"id": "first", "text": f"{article(1)}\n{line}"}])
    write_jsonl(
        tmp_path / "b.jsonl",
        [{"id": "later", "text": f"{line}\n{article(2)}"}, {"id": "nothing", "text": f"{line}\n끝"}],
    )
    sources = [{"name": "a", "path": "a.jsonl"}, {"name": "b", "path": "b.jsonl"}]
    recipe = make_recipe(tmp_path, sources, deduplicate={"near": None, "lines": {}}, **NOTHING_HELD_OUT)
    run(recipe)
    assert {row["id"]: row["text"] for row in rows(recipe, "train")} == {
        "first": f"{article(1)}\n{line}", "later": article(2),
    }  # fmt: skip
    assert [(row["id"], row["reason"]) for row in rows(recipe, "rejects")] == [("nothing", "repeated_lines")]


def test_copies_of_an_earlier_corpus_are_found_by_its_index(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": article(index)} for index in range(5)])
    first = make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl"}], deduplicate={"index": True}, **NOTHING_HELD_OUT)
    assert "index/index.json" in [record.path for record in run(first).outputs]
    near = article(1).replace("10명", "열 명")
    write_jsonl(
        tmp_path / "b.jsonl",
        [{"id": "copy", "text": article(3)}, {"id": "near", "text": near}, {"id": "new", "text": article(9)}],
    )
    later = make_recipe(
        tmp_path, [{"name": "t", "path": "b.jsonl"}], deduplicate={"against": ["run/corpus/index"]}, **NOTHING_HELD_OUT
    )
    later = later.model_copy(update={"workdir": "later"})
    later._file = first.file
    run(later)
    assert {row["id"]: row["detail"] for row in rows(later, "rejects")} == {
        "copy": "of index run/corpus/index", "near": "of index run/corpus/index",
    }  # fmt: skip
    assert [row["id"] for row in rows(later, "train")] == ["new"]
    assert {pair["of"] for pair in statistics_of(later)["duplicates"]["pairs"]} == {"index run/corpus/index"}


def test_the_same_address_twice_goes_where_that_is_asked(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [
        {"text": article(1), "url": "https://www.example.org/page?utm_source=mail"},
        {"text": article(2), "url": "http://example.org/page/"}, {"text": article(3)},
    ])  # fmt: skip
    sources = [{"name": "s", "path": "a.jsonl", "licence": "CC0-1.0"}]
    recipe = make_recipe(tmp_path, sources, deduplicate={"urls": True}, **NOTHING_HELD_OUT)
    run(recipe)
    assert reasons(recipe) == {1: "url_duplicate"}
    kept = rows(recipe, "train")
    assert kept[0]["url"].startswith("https://www") and kept[1]["url"] is None and kept[0]["licence"] == "CC0-1.0"


def test_the_waterfall_shows_every_source_or_all_together() -> None:
    source = {
        "name": "s", "in": {"records": 3, "bytes": 2_000_000}, "rejected": {"min_chars": 1}, "rejected_bytes": {},
        "removed_bytes": {}, "masked": {}, "skipped": {}, "decoded": {},
        "train": {"documents": 2, "bytes": 1_000_000}, "held_out": {"documents": 0, "bytes": 0},
    }  # fmt: skip
    columns, lines = waterfall(corpus_statistics([source, {**source, "name": "t"}]))
    assert columns == ["", "s", "t", "all"]
    assert ["- min_chars", 1, 1, 2] in lines and ["kept", "50.0%", "50.0%", "50.0%"] in lines
    columns, lines = waterfall(corpus_statistics([source] * 12))
    assert columns == ["", "all"] and ["records in", 36] in lines


def test_a_remote_source_is_known_by_what_its_store_says_of_it(tmp_path: Path) -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    lines = b"".join(json.dumps({"text": article(n)}).encode() + b"\n" for n in range(5))
    files.pipe("/redwhale-making/a.jsonl", lines)
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "memory://redwhale-making/*.jsonl"}], **NOTHING_HELD_OUT)
    manifest = run(recipe)
    assert manifest.counts["train_documents"] == 5 and list(manifest.fields["remote_sources"]) == ["s/a.jsonl"]
    assert run(recipe) == manifest
    files.pipe("/redwhale-making/a.jsonl", lines[:-1] + b" \n")
    with pytest.raises(RedwhaleError, match="remote_sources"):
        run(recipe)
    files.rm("/redwhale-making", recursive=True)
