"""JSON files of any shape: paths, and records cut out of a stream."""

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.core.errors import RedwhaleError
from redwhale.corpus.read.json_path import EACH, find, parse_path, split_path, write_path
from redwhale.corpus.read.json_stream import JsonStream
from redwhale.corpus.read.streams import Fault
from tests.corpus.makers import korean, write_jsonl
from tests.corpus.read.reading import read

KEYS = st.text(max_size=5).filter(bool)
PATHS = st.lists(KEYS | st.just(EACH), min_size=1, max_size=5).map(tuple)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
SMALL_PATHS = st.lists(st.sampled_from("abc") | st.just(EACH), min_size=1, max_size=3).map(tuple)


@given(PATHS)
def test_a_written_path_is_read_as_the_same(path: tuple) -> None:
    assert parse_path(write_path(path)) == path


def test_paths_by_hand() -> None:
    assert parse_path("document[*].paragraph[*].form") == ("document", EACH, "paragraph", EACH, "form")
    assert parse_path("[*].글") == (EACH, "글") and parse_path("a[*][*]") == ("a", EACH, EACH)
    assert parse_path('"Meta(Refine)".passage') == parse_path("Meta(Refine).passage") == ("Meta(Refine)", "passage")
    assert parse_path('a."b.c"') == ("a", "b.c")


@pytest.mark.parametrize("written", ["", "a[0]", "a..b", ".a[", "a[*", "a]b", "a.", '"a', "[*]a"])
def test_what_is_no_path_is_refused(written: str) -> None:
    with pytest.raises(RedwhaleError, match="is no path into JSON") as caught:
        parse_path(written)
    assert caught.value.exit_code == 2


def test_where_records_end() -> None:
    path = parse_path("document[*].paragraph[*].form")
    assert [write_path(part) for part in split_path(path, None)] == ["document[*]", "paragraph[*].form"]
    assert [write_path(part) for part in split_path(path, parse_path("document"))] == [
        "document",
        "[*].paragraph[*].form",
    ]
    with pytest.raises(RedwhaleError, match="does not lie inside"):
        split_path(path, parse_path("other[*]"))


@settings(max_examples=400, deadline=None)
@given(VALUES, SMALL_PATHS, st.integers(1, 9), st.sampled_from([None, 1]))
def test_a_stream_gives_what_the_parsed_file_gives(value: object, path: tuple, block: int, indent: int | None) -> None:
    data = json.dumps(value, indent=indent).encode()
    blocks = iter([data[place : place + block] for place in range(0, len(data), block)])
    stream = JsonStream(blocks, limit=1000)
    found = [raw for _, raw in stream.found([path], is_root_list_entered=False)]
    if isinstance(found[-1] if found else None, Fault):
        assert found.pop().reason == "no_text" and not found
    assert [json.loads(raw) for raw in found] == list(find(value, path))


@settings(max_examples=200, deadline=None)
@given(VALUES, st.lists(st.integers(0, 200), max_size=3), st.integers(1, 9))
def test_damaged_json_never_raises(value: object, places: list[int], block: int) -> None:
    data = bytearray(json.dumps({"a": [value, value]}).encode())
    for place in places:
        data[place % len(data)] = b'"{}[],:\\'[place % 8]
    blocks = iter([bytes(data[place : place + block]) for place in range(0, len(data), block)])
    for _, raw in JsonStream(blocks, limit=1000).found([("a", EACH)]):
        assert isinstance(raw, (bytes, Fault))


def corpus(documents: int) -> dict:
    return {
        "meta": {"note": '괄호 ]}[{ 와 " 따옴표', "document": [{"paragraph": [{"form": "아님"}]}]},
        "document": [
            {
                "id": f"D{i}",
                "link": {"url": f"u{i}"},
                "paragraph": [{"form": korean(i)}, {"form": ""}, {"form": "둘째"}],
            }
            for i in range(documents)
        ],
    }


@pytest.mark.parametrize("indent", [None, 2])
def test_records_and_texts_by_path(tmp_path: Path, indent: int | None) -> None:
    (tmp_path / "a.json").write_text(json.dumps(corpus(3), ensure_ascii=False, indent=indent), encoding="utf-8")
    fields = {"text": "document[*].paragraph[*].form", "url": "link.url"}
    reading = read(tmp_path, "a.json", **fields, join="\n\n")
    assert reading.texts == [f"{korean(i)}\n\n둘째" for i in range(3)]
    assert reading.ids == ["D0", "D1", "D2"] and reading.urls == ["u0", "u1", "u2"] and reading.rows == [0, 1, 2]
    whole = read(tmp_path, "a.json", **fields, records="document")
    assert whole.texts == ["\n".join(text for i in range(3) for text in (korean(i), "둘째"))]


def test_a_list_at_the_root_is_entered(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"text": korean(0)}, {"text": korean(1)}]))
    (tmp_path / "b.json").write_text(json.dumps({"text": korean(2)}))
    (tmp_path / "c.json").write_text(json.dumps([korean(3), korean(4)]))
    assert read(tmp_path, "[ab].json").texts == [korean(0), korean(1), korean(2)]
    assert read(tmp_path, "c.json", text="[*]").texts == [korean(3), korean(4)]


@pytest.mark.promise("F17")
def test_a_broken_record_costs_only_itself_and_a_broken_frame_the_rest(tmp_path: Path) -> None:
    good = [json.dumps({"form": korean(i)}, ensure_ascii=False) for i in range(6)]
    good[1] = '{"form": (반사회적용어)}'
    good[3] = '{"form": "' + "가" * 1_000_000 + '"}'
    (tmp_path / "a.json").write_text('{"d": [' + ",\n".join(good) + "] @ }", encoding="utf-8")
    reading = read(tmp_path, "a.json", text="d[*].form")
    assert reading.texts == [korean(i) for i in (0, 2, 4, 5)] and reading.rows == [0, 2, 4, 5]
    assert reading.reasons == {1: "bad_json", 3: "too_large", 6: "bad_json"}
    assert "'@'" in reading.rejected[-1].detail
    (tmp_path / "b.json").write_text('{"d": [' + ",".join(good[4:]), encoding="utf-8")
    assert read(tmp_path, "b.json", text="d[*].form").reasons == {2: "bad_json"}
    (tmp_path / "c.json").write_text('{"d": [' + good[0] + " {" + " " * 20_000, encoding="utf-8")
    (broken,) = read(tmp_path, "c.json", text="d[*].form").rejected
    assert len(broken.excerpt) == 8192 and "'{' where , or ]" in broken.detail


@pytest.mark.promise("F17")
def test_values_one_after_another_are_all_read(tmp_path: Path) -> None:
    """JSON lines under the ending of JSON, and files that were put together."""
    (tmp_path / "a.json").write_text("\n".join(json.dumps({"text": korean(i)}) for i in range(3)))
    (tmp_path / "b.json").write_text("".join(json.dumps({"d": [{"t": korean(i)}]}) for i in range(3)) + " 끝")
    (tmp_path / "c.json").write_text(json.dumps([{"text": korean(3)}]) + json.dumps([{"text": korean(4)}]))
    assert read(tmp_path, "a.json").texts == [korean(i) for i in range(3)]
    assert read(tmp_path, "a.json", format="aihub").texts == [korean(i) for i in range(3)]
    reading = read(tmp_path, "b.json", text="d[*].t")
    assert reading.texts == [korean(i) for i in range(3)] and reading.reasons == {3: "bad_json"}
    assert "after its end" in reading.rejected[0].detail
    assert read(tmp_path, "c.json", format="namuwiki").texts == [korean(3), korean(4)]


@pytest.mark.promise("F17")
@pytest.mark.parametrize("data", ["99", '{"x": 1}', '"글"', '{"data": {"text": "글"}}'])
def test_a_file_without_a_place_of_records_is_counted(tmp_path: Path, data: str) -> None:
    (tmp_path / "a.json").write_text(data)
    (tmp_path / "b.json").write_text('{"data": []}')  # has one, and nothing in it
    reading = read(tmp_path, "*.json", text="data[*].text")
    assert reading.reasons_by_file == {"a.json": "no_text"} and not reading.texts
    assert reading.rejected[0].detail == "no records at 'data[*]'"


def test_cp949_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(json.dumps(corpus(3), ensure_ascii=False, indent=1).encode("cp949"))
    reading = read(tmp_path, "a.json", text="document[*].paragraph[*].form")
    assert len(reading.texts) == 3 and reading.decoded == {"decoded_cp949": 3}


def test_a_wrong_path_names_the_keys(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(corpus(3)))
    with pytest.raises(RedwhaleError, match=r"keys seen: id, link, paragraph.*`text: id`") as caught:
        read(tmp_path, "a.json", text="document[*].sentence[*].form")
    assert caught.value.exit_code == 2


def test_paths_in_json_lines(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"a": {"b": [{"c": "하나"}, {"c": "둘"}]}}, {"a": {}}, {"a": {"b": [{"c": 1}]}}])
    reading = read(tmp_path, "a.jsonl", text="a.b[*].c", join=" ")
    assert reading.texts == ["하나 둘"] and reading.reasons == {1: "no_text", 2: "text_not_a_string"}


def test_a_large_file_streams(tmp_path: Path) -> None:
    skipped = "{" + ", ".join(f'"k{i}": "{"x" * 1000}"' for i in range(10_000)) + "}"
    with (tmp_path / "a.json").open("w") as file:
        file.write('{"other": ' + skipped + ', "d": [')
        file.writelines(json.dumps({"t": korean(i) * 20}) + "," for i in range(5_000))
        file.write(json.dumps({"t": "끝"}) + "]}")
    tracemalloc.start()
    reading = read(tmp_path, "a.json", text="d[*].t")
    peak = tracemalloc.get_traced_memory()[1] - sum(map(len, reading.texts)) * 2
    tracemalloc.stop()
    assert len(reading.texts) == 5_001 and reading.texts[-1] == "끝" and reading.chunks > 3
    assert peak < 40_000_000
