"""KoBEST's files: the traps of the release, and every fault named by file and line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.evaluation.kobest.data import LAYOUTS, data_folder, read_split, split_file
from tests.evaluation.kobest_rows import DEMO, write_hub_copy

REAL = Path(os.environ.get("REDWHALE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "kobest"


def boolq(folder: Path, *lines: bytes, name: str = "test.tsv") -> Path:
    path = folder / name
    path.write_bytes(b"\r\n".join([b"ID\tText\tQuestion\tAnswer", *lines]) + b"\r\n")
    return path


def test_words_of_the_label_in_any_case_and_text_untouched(tmp_path: Path) -> None:
    path = boolq(tmp_path, "1\t 앞 공백\t질문 \tTRUE".encode(), "2\t가\t나\tFalse".encode())
    rows = read_split(path, "boolq")
    assert rows[0] == {"paragraph": " 앞 공백", "question": "질문 ", "label": 1}
    assert rows[1]["label"] == 0


def test_text_is_not_normalised(tmp_path: Path) -> None:
    decomposed = "\u1100\u1161"
    assert read_split(boolq(tmp_path, f"1\t{decomposed}\t나\tTrue".encode()), "boolq")[0]["paragraph"] == decomposed


def test_quotes_are_those_of_csv(tmp_path: Path) -> None:
    path = boolq(tmp_path, '1\t"그는 ""응""이라 했다"\t"참"인가\tTrue'.encode())
    row = read_split(path, "boolq")[0]
    assert row["paragraph"] == '그는 "응"이라 했다'
    assert row["question"] == "참인가"


def test_first_column_survives_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "test.tsv"
    header = "\ufeffcontext\tchoice1\tchoice2\tchoice3\tchoice4\tlabel\n"
    path.write_text(header + "가\t1\t2\t3\t4\t3\n", encoding="utf-8")
    assert read_split(path, "hellaswag")[0]["label"] == 3


def test_changed_sentence_of_sentineg_not_the_original() -> None:
    rows = read_split(DEMO / "SentiNeg" / "test.tsv", "sentineg")
    assert rows[0] == {"sentence": "손잡이가 단단하지 않아서 흔들려요", "label": 0}


@pytest.mark.parametrize("task", list(LAYOUTS))
def test_hub_copy_gives_the_same_rows(task: str, tmp_path: Path) -> None:
    write_hub_copy(tmp_path)
    for split in ("train", "test"):
        ours, hub = split_file(DEMO, task, split), split_file(tmp_path, task, split)
        assert (ours.suffix, hub.suffix) == (".tsv", ".jsonl")
        assert read_split(ours, task) == read_split(hub, task)


@pytest.mark.parametrize(
    ("lines", "line", "reason"),
    [
        ([b"1\ta\tb\tTrue", b"2\ta\tTrue"], 3, "the line has 3 cells, the header 4"),
        ([b"1\ta\tb\tperhaps"], 2, "the label 'perhaps' is none of true, false"),
        ([b"1\ta\tb\tTrue", b'2\t"a\tb\tTrue', b"3\ta\tb\tTrue"], 3, "a quote opens here"),
        ([b"1\ta\tb\tTrue", b"2\t\xff\tb\tTrue"], 3, "byte 0xFF is not UTF-8"),
        ([b"1\ta\tb\tTrue", b""], 3, "the line has 0 cells"),
        ([b"1\t" + b"a" * 140_000 + b"\tb\tTrue"], 2, "the line cannot be read"),
    ],
)
def test_faults_name_file_and_line(tmp_path: Path, lines: list[bytes], line: int, reason: str) -> None:
    path = boolq(tmp_path, *lines)
    with pytest.raises(RedwhaleError, match=reason) as caught:
        read_split(path, "boolq")
    assert caught.value.where == f"{path}:{line}"
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_missing_column_and_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "test.tsv"
    path.write_bytes("ID\tText\tAnswer\n1\t가\tTrue\n".encode())
    with pytest.raises(RedwhaleError, match="the column 'Question' is missing; there are 'ID', 'Text', 'Answer'"):
        read_split(path, "boolq")
    with pytest.raises(RedwhaleError, match="holds no examples"):
        read_split(boolq(tmp_path, name="empty.tsv"), "boolq")
    path.write_bytes(b"")
    with pytest.raises(RedwhaleError, match="the column 'Text' is missing"):
        read_split(path, "boolq")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "the line is not JSON"),
        ("[]", "expected an object, got list"),
        ('{"premise": "가", "question": "원인", "alternative_1": "나", "label": 0}', "'alternative_2' is missing"),
        ('{"premise": "가", "question": "원인", "alternative_1": "나", "alternative_2": "다", "label": 2}', "label 2"),
        ('{"premise": "가", "question": "원인", "alternative_1": "나", "alternative_2": "다", "label": true}', "True"),
        ('{"premise": "가", "question": "왜", "alternative_1": "나", "alternative_2": "다", "label": 0}', "원인, 결과"),
    ],
)
def test_faults_of_the_hub_copy(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "test.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(RedwhaleError, match=reason) as caught:
        read_split(path, "copa")
    assert caught.value.where == f"{path}:1"


def test_missing_split_names_both_places(tmp_path: Path) -> None:
    with pytest.raises(RedwhaleError, match=r"neither WiC/test\.tsv nor wic/test\.jsonl") as caught:
        split_file(tmp_path, "wic", "test")
    assert caught.value.exit_code == 2


@pytest.mark.slow
def test_the_release_has_its_published_sizes() -> None:
    if not REAL.is_dir():
        pytest.skip(f"the KoBEST release is not at {REAL}")
    sizes = {"boolq": (3665, 1404), "copa": (3076, 1000), "wic": (3318, 1260), "hellaswag": (2029, 500),
             "sentineg": (3649, 397)}  # fmt: skip
    for task, size in sizes.items():
        assert tuple(len(read_split(split_file(REAL, task, split), task)) for split in ("train", "test")) == size
    labels = [row["label"] for row in read_split(split_file(REAL, "boolq", "test"), "boolq")]
    assert sum(labels) == 348 + 357


def test_a_data_set_of_the_hub_is_fetched_where_no_folder_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked = []

    def fetch(name: str, *, local_files_only: bool = False, **options: Any) -> str:
        asked.append((name, options["repo_type"], local_files_only))
        if local_files_only:
            raise LocalEntryNotFoundError("not here")
        if name == "gone/kobest":
            raise OSError("no connection")
        return str(DEMO)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert data_folder("skt/kobest_v1", tmp_path / "skt" / "kobest_v1", where="r") == DEMO
    assert data_folder("./some/folder", tmp_path / "some", where="r") == tmp_path / "some"
    with pytest.raises(RedwhaleError, match=r"r: KoBEST cannot be fetched from gone/kobest \(no connection\)") as fault:
        data_folder("gone/kobest", tmp_path / "x", where="r")
    assert fault.value.exit_code == 2
    names = ("skt/kobest_v1", "gone/kobest")
    assert asked == [(name, "dataset", local) for name in names for local in (True, False)]
