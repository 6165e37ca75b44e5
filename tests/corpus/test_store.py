"""What parts hold, and what is kept of each document, is read back as it was added."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from redwhale.corpus.store import CHUNK_SCHEMA, Store, read_ids, serialized


def chunk_rows(texts: list[str], reasons: list[str | None]) -> pa.RecordBatch:
    """Return rows of a chunk with these texts and reasons."""
    values: dict[str, list[object]] = {name: [None] * len(texts) for name in CHUNK_SCHEMA.names}
    values |= {"text": list(texts), "reason": list(reasons), "id": [f"id-{text}" for text in texts]}
    values |= {"bytes_in": [len(text.encode()) for text in texts]}
    values |= {name: [0] * len(texts) for name in ("markup", "normalized", "lines", "masked", "cut")}
    return pa.record_batch([pa.array(values[f.name], f.type) for f in CHUNK_SCHEMA], schema=CHUNK_SCHEMA)


def fill(store: Store) -> None:
    """Add three chunks of two sources, five documents and two rejects in all."""
    chunks = [
        (0, ["가", "나쁨", "다"], [None, "min_chars", None]),
        (0, ["라"], ["bad_json"]),
        (1, ["마", "바", "사"], [None, None, None]),
    ]
    number = 0
    for place, (source, texts, reasons) in enumerate(chunks):
        stays = [text for text, reason in zip(texts, reasons, strict=True) if reason is None]
        columns = {"split": np.arange(number, number + len(stays), dtype=np.uint64)}
        ids = [f"id-{text}".encode() for text in stays]
        rows = serialized(chunk_rows(texts, reasons))
        path = store.path(f"{place}.chunks")
        path.write_bytes(b"before" + rows)
        words = np.frombuffer(b"".join(ids), dtype=np.uint8)
        ends = np.cumsum([len(word) for word in ids], dtype=np.int64)
        store.add(source, path, [(6, len(rows), len(texts), len(stays))], ids=(words, ends), columns=columns)
        number += len(stays)
    store.flush()


def test_chunks_and_columns_come_back(tmp_path: Path) -> None:
    with Store(tmp_path, 2) as store:
        fill(store)
        assert store.documents == 5 and [store.documents_of(index) for index in (0, 1)] == [2, 3]
        assert [store.span(index) for index in (0, 1)] == [(0, 2), (2, 5)]
        assert store.column("split").tolist() == [0, 1, 2, 3, 4]
        chunk = store.chunks[0][0]
        assert chunk.read(("text", "reason")).to_pydict() == {
            "text": ["가", "나쁨", "다"], "reason": [None, "min_chars", None],
        }  # fmt: skip
        assert chunk.texts(np.array([False, True])).strings() == ["다"]
        assert store.chunks[0][1].documents == 0 and store.chunks[0][1].rows == 1


def test_texts_and_ids_are_found_by_number(tmp_path: Path) -> None:
    with Store(tmp_path, 2) as store:
        fill(store)
        found = dict(store.texts(np.array([1, 2, 4])))
        assert found == {1: "다".encode(), 2: "마".encode(), 4: "사".encode()}
        assert read_ids(store.folder, np.array([4, 0])) == ["id-사", "id-가"]
        assert read_ids(store.folder, np.array([], dtype=np.int64)) == []


def test_a_source_without_documents_has_an_empty_span(tmp_path: Path) -> None:
    with Store(tmp_path, 1) as store:
        store.flush()
        assert store.span(0) == (0, 0) and store.documents_of(0) == 0
