"""AI Hub and 모두의 말뭉치 in the shapes that they come in, written for these tests."""

import io
import json
from pathlib import Path

import pytest

from redwhale.core.errors import RedwhaleError
from tests.corpus.makers import korean
from tests.corpus.read.reading import read
from tests.corpus.read.test_archives import cp949_zip, make_zip

A, B, C = korean(1), korean(2), korean(3)
READING = {
    "creator": "기관", "version": "1", "data": [
        {"doc_id": "d1", "title": "제목", "paragraphs": [
            {"context": A, "qas": [{"question": "질문?", "answers": [{"text": "답"}]}]},
            {"context": B, "qas": []},
        ]},
        {"doc_id": "d2", "title": "제목", "paragraphs": [{"context": C}]},
    ],
}  # fmt: skip
SHAPES = {
    "machine reading": (READING, [f"{A}\n{B}", C]),
    "summaries": (
        {"name": "요약", "documents": [{"id": "1", "title": "제목", "text": [
            [{"index": 0, "sentence": A}, {"index": 1, "sentence": B}], [{"index": 2, "sentence": C}]],
            "abstractive": ["요약문"], "extractive": [0]}]},
        [f"{A}\n{B}\n{C}"],
    ),
    "papers": (
        [{"totalcount": "1", "data": [{"doc_id": "p1", "title": "논문", "summary_entire": [
            {"original_text": A, "summary_text": "요약"}], "summary_section": [{"original_text": B}]}]}],
        [A],
    ),
    "web sources": (
        {"SJML": {"header": {}, "text": [{"title": "제목", "subtitle": "", "content": A}, {"content": B}]}},
        [A, B],
    ),
    "web labels": (
        {"named_entity": [{"title": [{"sentence": "제목"}],
            "content": [{"sentence": A, "labels": []}, {"sentence": B}]}]},
        [f"{A}\n{B}"],
    ),
    "books": ({"metadata": {}, "paragraphs": [{"sentences": [{"text": A}, {"text": B}]}, {"sentences": [{"text": C}]}]},
              [f"{A}\n{B}\n{C}"]),
    "expert fields": ({"data": [{"title": "제목", "rows": [{"text": A}, {"text": B}]}]}, [f"{A}\n{B}"]),
    "dialects": (
        {"speaker": [{"id": "1"}], "utterance": [
            {"form": "(거시기)/(그것) 말이여", "standard_form": A, "dialect_form": "거시기"}, {"standard_form": B}]},
        [f"{A}\n{B}"],
    ),
    "broadcasts": ({"utterance": [{"original_form": A}, {"original_form": B}]}, [f"{A}\n{B}"]),
    "messengers": (
        {"header": {}, "body": [{"participantID": "P1", "utterance": A}, {"participantID": "P2", "utterance": B}]},
        [f"{A}\n{B}"],
    ),
    "feelings": ([{"profile": {}, "talk": {"id": {}, "content": {"HS01": A, "SS01": B, "HS02": ""}}}], [f"{A}\n{B}"]),
    "reports": ({"Meta(Acqusition)": {"doc_id": "R"}, "Meta(Refine)": {"passage": A, "passage_Cnt": "10"},
                 "Annotation": {"summary1": "요약"}}, [A]),
    "parallel": ({"data": [{"sn": "1", "ko": A, "en": "English"}, {"sn": "2", "ko": B, "en": "More"}]}, [A, B]),
    "records": ({"data": [{"corpus": A}, {"corpus": B}]}, [A, B]),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_of_ai_hub(tmp_path: Path, shape: str) -> None:
    value, expected = SHAPES[shape]
    name = "라벨링데이터/원천_가.json"
    for encoding in ("utf-8-sig", "cp949"):
        packed = cp949_zip(
            {name: json.dumps(value, ensure_ascii=False, indent=1).encode(encoding), "사진.jpg": b"\xff\xd8"}
        )
        (tmp_path / "[라벨]TL1.zip").write_bytes(packed)
        reading = read(tmp_path, "*.zip", format="aihub")
        assert reading.texts == expected and not reading.rejected
        assert set(reading.files) == {f"[라벨]TL1.zip!{name}"}


def test_large_files_of_ai_hub_are_cut_as_small_ones_are(tmp_path: Path) -> None:
    many = {"documents": [{"text": [[{"sentence": korean(i) * 40}]]} for i in range(4_000)]}
    listed = [{"talk": {"content": {"HS01": korean(i) * 40}}} for i in range(4_000)]
    (tmp_path / "a.zip").write_bytes(
        make_zip({"a.json": json.dumps(many).encode(), "b.json": json.dumps(listed).encode()})
    )
    reading = read(tmp_path, "a.zip", format="aihub", limit=1 << 20)
    assert reading.texts == [korean(i) * 40 for i in range(4_000)] * 2 and reading.chunks > 5


def test_workbooks_and_tables_of_ai_hub(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["SID", "원문", "번역문"], [1, A, "translation"], [2, B, "translation"]):
        book.active.append(row)
    sink = io.BytesIO()
    book.save(sink)
    members = {
        "1_구어체.xlsx": sink.getvalue(),
        "2.csv": f"번호,한국어\n7,{C}\n".encode("cp949"),
        "info.json": b'{"a": {"b": 1}}',
    }
    inner = cp949_zip(members)
    (tmp_path / "a.zip").write_bytes(cp949_zip({"한국어-영어 번역/묶음.zip": inner}))
    reading = read(tmp_path, "a.zip", format="aihub", id="SID")
    assert reading.texts == [A, B, C] and reading.ids[:2] == ["1", "2"]
    assert reading.files[0] == "a.zip!한국어-영어 번역/묶음.zip!1_구어체.xlsx!Sheet"
    assert reading.rejected[0].reason == "no_text" and reading.rejected[0].detail == "no known shape; its keys: a"


def test_an_unknown_shape_names_its_keys_and_takes_a_path(tmp_path: Path) -> None:
    value = {"info": {"id": 1}, "판결": [{"주문": A}, {"주문": B}]}
    (tmp_path / "a.zip").write_bytes(make_zip({"a.json": json.dumps(value).encode()}))
    with pytest.raises(
        RedwhaleError, match=r"a.zip has no text where it is looked for; keys seen: info, 판결.*`text: "
    ) as caught:
        read(tmp_path, "a.zip", format="aihub")
    assert caught.value.exit_code == 2
    assert read(tmp_path, "a.zip", format="aihub", text="판결[*].주문").texts == [A, B]


def test_a_broken_member_costs_only_itself(tmp_path: Path) -> None:
    good = json.dumps({"documents": [{"text": [[{"sentence": A}]]}]}).encode()
    (tmp_path / "a.zip").write_bytes(make_zip({"a.json": good[:-5], "b.json": b"", "c.json": good}))
    reading = read(tmp_path, "a.zip", format="aihub")
    assert reading.texts == [A, A] or reading.texts == [A]
    assert reading.files[-1] == "a.zip!c.json" and {r.reason for r in reading.rejected} == {"bad_json"}


def test_written_and_spoken_corpora_of_nikl(tmp_path: Path) -> None:
    written = {"id": "WARW1", "metadata": {"title": "국립국어원 문어 말뭉치", "category": "문어"}, "document": [
        {"id": "WARW1.1", "metadata": {"title": "책 제목", "author": "지은이"},
         "paragraph": [{"id": "WARW1.1.1", "form": A}, {"id": "WARW1.1.2", "form": B}]},
        {"id": "WARW1.2", "metadata": {"title": "다른 책"}, "paragraph": [{"form": C}]},
    ]}  # fmt: skip
    spoken = {"id": "SARW1", "document": [{"id": "SARW1.1", "metadata": {"title": "방송", "topic": "NA", "speaker": []},
              "utterance": [{"form": A, "original_form": "어 " + A, "speaker_id": "1"}, {"form": B}]}]}  # fmt: skip
    minutes = {"id": "SBRW1", "document": {"id": "SBRW1.1", "utterance": [{"form": C}]}}
    (tmp_path / "WARW1.json").write_bytes(json.dumps(written, ensure_ascii=False, indent=4).encode())
    members = {
        "SARW1.json": json.dumps(spoken).encode(),
        "SBRW1.json": json.dumps(minutes).encode(),
        "안내.pdf": b"%PDF",
    }
    (tmp_path / "NIKL_SPOKEN.zip").write_bytes(make_zip(members))
    reading = read(tmp_path, "WARW1.json", format="nikl")
    assert reading.texts == [f"{A}\n{B}", C] and reading.titles == ["책 제목", "다른 책"]
    assert reading.ids == ["WARW1.1", "WARW1.2"]
    reading = read(tmp_path, "*.zip", format="nikl", join=" ")
    assert (
        reading.texts == [f"{A} {B}", C] and reading.titles == ["방송", None] and reading.ids == ["SARW1.1", "SBRW1.1"]
    )
