"""KoBEST questions planted in a corpus are found, whatever their spacing; the others are clean, or not known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.corpus.decontaminate.benchmarks import kobest_items
from redwhale.evaluation import contamination
from redwhale.evaluation.contamination import Example, Overlap, find_overlap
from redwhale.evaluation.kobest.data import LAYOUTS, read_split, split_file
from tests.corpus.makers import korean, make_recipe, run, write_jsonl
from tests.evaluation.kobest_rows import DEMO, write_hub_copy

ROWS = {task: read_split(split_file(DEMO, task, "test"), task) for task in LAYOUTS}
FILLER = [korean(number) + " " + korean(number + 1000) for number in range(60)]
PLAIN: dict[str, Any] = {
    "filters": "off", "held_out": {"fraction": 0}, "deduplicate": {"exact": False, "near": None},
}  # fmt: skip


def corpus(folder: Path, planted: Sequence[str] = (), *, other: Sequence[str] = (), **section: Any) -> Recipe:
    """Make a corpus of two sources, filler with documents planted in it, and code with ``other`` behind it."""
    texts = [*FILLER[:30], *planted, *FILLER[30:]]
    write_jsonl(folder / "web.jsonl", [{"id": f"web-{number}", "text": text} for number, text in enumerate(texts)])
    write_jsonl(folder / "code.jsonl", [{"text": text} for text in ["def main(): return 0", *other]])
    sources = [{"name": "web", "path": "web.jsonl"}, {"name": "code", "language": "code", "path": "code.jsonl"}]
    recipe = make_recipe(folder, sources, **{**PLAIN, **section})
    run(recipe)
    return recipe


def splits_of(folder: Path = DEMO) -> dict[str, Path]:
    return {task: split_file(folder, task, "test") for task in LAYOUTS}


def found(recipe: Recipe, files: dict[str, Path] | None = None) -> Overlap:
    return find_overlap(recipe, files or splits_of(), console=Console(quiet=True))


def in_text(text: str) -> str:
    return f"{FILLER[0]}\n{text}\n{FILLER[1]}"


def write_sentineg(folder: Path, sentences: Sequence[tuple[str, str]]) -> dict[str, Path]:
    """Write a SentiNeg test split of (sentence, sentence before negation)."""
    lines = ["ID\tText_origin\tLabel\tText", *(f"1\t{origin}\t0\t{sentence}" for sentence, origin in sentences)]
    (folder / "SentiNeg").mkdir()
    (folder / "SentiNeg" / "test.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"sentineg": folder / "SentiNeg" / "test.tsv"}


def test_planted_questions_are_found_and_the_rest_is_clean(tmp_path: Path) -> None:
    question, context = ROWS["boolq"][3]["question"], ROWS["hellaswag"][9]["context"]
    sentence = ROWS["sentineg"][0]["sentence"]
    premise = ROWS["copa"][0]["premise"] + " " + ROWS["copa"][0]["alternative_1"]
    overlap = found(corpus(tmp_path, [in_text(question), context.replace(" ", ""), premise], other=[f"# {sentence}"]))
    assert {task: list(own.found) for task, own in overlap.tasks.items()} == {
        "boolq": [3], "copa": [0], "wic": [], "hellaswag": [9], "sentineg": [0],
    }  # fmt: skip
    assert overlap.tasks["boolq"].found[3] == Example("web", "web-30", "question", question.rstrip("?")[:60])
    assert overlap.tasks["hellaswag"].found[9] == Example(
        "web", "web-31", "context", context.replace(" ", "").rstrip(".")[:60]
    )
    assert overlap.tasks["sentineg"].found[0].source == "code"
    assert overlap.tasks["boolq"].fields == {"question": 1}
    assert overlap.documents == {"web": 3, "code": 1}
    assert overlap.documents_read == 60 + 3 + 2
    assert overlap.clean_indices("boolq") == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert overlap.clean_indices("wic") == list(range(10)) and not any(o.too_short for o in overlap.tasks.values())


@pytest.mark.parametrize("task", LAYOUTS)
def test_every_question_leads_back_to_its_row(tmp_path: Path, task: str) -> None:
    rows = ["\n".join(row[name] for name in LAYOUTS[task].columns if name != "word") for row in ROWS[task]]
    overlap = found(corpus(tmp_path, rows[2:9]))
    own = overlap.tasks[task]
    assert list(own.found) == list(range(2, 9))
    assert [own.found[index].document for index in own.found] == [f"web-{28 + index}" for index in own.found]
    assert {other: len(o.found) for other, o in overlap.tasks.items() if other != task and o.found} == {}


def test_rows_are_those_that_are_asked(tmp_path: Path) -> None:
    for folder in (DEMO, write_hub_copy(tmp_path)):
        for task, file in splits_of(folder).items():
            fields = {"passage": "paragraph"}
            for item in kobest_items(file):
                name = fields.get(item.field, item.field)
                if name in LAYOUTS[task].columns:
                    assert read_split(file, task)[item.row - 1][name] == item.text


def test_short_texts_are_not_called_clean(tmp_path: Path) -> None:
    files = write_sentineg(
        tmp_path,
        [
            ("아주 좋아요", "안 좋아요"),
            ("배송이 너무 느려서 답답했습니다", "배송이 빨라요"),
            ("별로예요", "오래 써 보니 정말 마음에 들어요"),
            ("튼튼합니다", "튼튼하지 않아요"),
            ("다섯 달째 고장 없이 잘 쓰고 있어요", "고장이 잦아요"),
        ],
    )
    planted = [in_text("아주 좋아요"), in_text("튼튼합니다. 튼튼하지 않아요."), in_text("배송이 빨라요")]
    overlap = found(corpus(tmp_path, planted), files)
    own = overlap.tasks["sentineg"]
    assert list(own.found) == [3], "two short ones side by side are the row"
    assert own.too_short == [0, 2], "a sentence that is not asked does not make up for the short one that is"
    assert overlap.clean_indices("sentineg") == [1, 4]
    assert own.questions == 5


def test_a_phrase_of_several_rows_counts_for_the_row_it_is_joined_in(tmp_path: Path) -> None:
    sentences = [("배송이 늦어요", "포장이 좋아요"), ("배송이 늦어요", "색이 고와요"), ("냄새가 나요", "향이 좋아요")]
    overlap = found(corpus(tmp_path, [in_text("배송이 늦어요. 색이 고와요.")]), write_sentineg(tmp_path, sentences))
    assert list(overlap.tasks["sentineg"].found) == [1]
    assert overlap.tasks["sentineg"].fields == {"original": 1, "sentence": 1}


def test_a_passage_alone_is_treated_as_the_recipe_says(tmp_path: Path) -> None:
    passage = ROWS["boolq"][1]["paragraph"]
    (tmp_path / "report").mkdir()
    reported = found(corpus(tmp_path / "report", [passage])).tasks["boolq"]
    assert (list(reported.found), reported.passages) == ([], [1])
    (tmp_path / "drop").mkdir()
    recipe = corpus(tmp_path / "drop", [passage])
    settings = {"benchmarks": ["kobest"], "passages": "drop", "action": "report"}
    section = {**recipe.need("preprocess").model_dump(), "decontaminate": settings}
    treated = found(recipe.changed(preprocess=section)).tasks["boolq"]
    assert (list(treated.found), treated.passages) == ([1], [])
    assert treated.found[1].field == "passage" and passage.startswith(treated.found[1].passage)
    assert len(treated.found[1].passage) == 60


def test_a_corpus_that_was_decontaminated_holds_none(tmp_path: Path) -> None:
    planted = [in_text(row["question"]) for row in ROWS["boolq"]]
    recipe = corpus(tmp_path, planted, decontaminate=[{"name": "kobest", "path": str(DEMO), "splits": ["test"]}])
    overlap = found(recipe)
    assert not any(own.found for own in overlap.tasks.values()) and overlap.documents == {}


def test_the_record_is_plain_and_repeatable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = corpus(tmp_path, [row["context_1"] + "\n" + row["context_2"] for row in ROWS["wic"]])
    overlap = found(recipe)
    record = json.loads(json.dumps(overlap.as_record(), ensure_ascii=False))
    assert str(tmp_path) not in json.dumps(record)
    assert [one["index"] for one in record["tasks"]["wic"]["found"]] == list(range(10))
    monkeypatch.setattr(contamination, "BATCH_DOCUMENTS", 3)
    assert json.dumps(found(recipe).as_record()) == json.dumps(overlap.as_record())


def test_held_out_documents_do_not_count_and_an_unfinished_corpus_is_named(tmp_path: Path) -> None:
    planted = [row["question"] for row in ROWS["boolq"]]
    overlap = found(corpus(tmp_path, planted, held_out={"fraction": 0.5, "at_most": 1000}))
    assert 0 < len(overlap.tasks["boolq"].found) < 10
    assert overlap.documents["web"] == len(overlap.tasks["boolq"].found)
    (tmp_path / "other").mkdir()
    with pytest.raises(RedwhaleError, match="corpus") as caught:
        found(make_recipe(tmp_path / "other", [{"name": "web", "path": "web.jsonl"}]))
    assert caught.value.exit_code == 2
