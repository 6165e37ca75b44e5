"""Language models: read where given, refused with a reason where they cannot be."""

import struct
from pathlib import Path

import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.filters import Filters
from redwhale.corpus.filters import language
from tests.corpus.filters.judged import reasons

MAGIC = (793712314).to_bytes(4, "little")


class Model:
    """Stands for a fastText model: Hangul is Korean with 0.9, everything else English."""

    def predict(self, text: str, k: int) -> tuple[tuple[str, ...], tuple[float, ...]]:
        assert "\n" not in text and k == 5
        korean = any("가" <= character <= "힣" for character in text)
        return ("__label__kor_Hang", "__label__eng_Latn"), (0.9, 0.1) if korean else (0.2, 0.8)


def test_a_model_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "_load", lambda path: Model())
    texts = ["어제는 비가 와서\n집에서 책을 읽었다.", "It rained yesterday, so I stayed in and read a book."]
    limits = Filters(language_model="model.bin", min_script=None, min_hangul=None, min_letters=None)
    assert reasons(texts, limits) == [None, "language_model"]
    assert reasons(texts, limits, language="en") == ["language_model", None]
    stricter = limits.model_copy(update={"min_language": 0.95})
    assert reasons(texts, stricter) == ["language_model", "language_model"]


def test_without_a_model_nothing_is_judged() -> None:
    assert reasons(["어제는 비가 와서 집에서 책을 읽었다."], Filters(min_language=1.0)) == [None]


@pytest.mark.parametrize("content", [b"", b"\x80\x04\x95pickled", b"PK\x03\x04zip"])
def test_other_files_are_refused_before_they_are_loaded(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(content)
    with pytest.raises(RedwhaleError, match="not a fastText model") as caught:
        reasons(["가나다라"], Filters(language_model=str(file)))
    assert caught.value.exit_code == 2 and caught.value.where == str(file)


def test_a_missing_file_and_a_remote_one_are_refused(tmp_path: Path) -> None:
    for path in (str(tmp_path / "none.bin"), "https://example.com/lid.bin"):
        with pytest.raises(RedwhaleError, match="cannot be read"):
            reasons(["가나다라"], Filters(language_model=path))


def test_a_real_model_judges(tmp_path: Path) -> None:
    pytest.importorskip("fasttext")
    file = tmp_path / "model.bin"
    file.write_bytes(tiny_model())
    language.check_language_model(str(file))
    texts = ["어제는 비가 와서 집에서 책을 읽었다.", "It rained yesterday, so I stayed in."]
    limits = Filters(preset="off", language_model=str(file), min_language=0.65)
    assert reasons(texts, limits) == [None, "language_model"]
    assert reasons(texts, limits, language="en") == ["language_model", None]


def test_a_damaged_model_is_refused_before_it_can_kill_a_worker(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    for cut in (4, 60, 92, 120):
        file.write_bytes(tiny_model()[:cut])
        with pytest.raises(RedwhaleError, match="cut short"):
            reasons(["가나다라"], Filters(language_model=str(file)))


def test_a_model_that_kills_its_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fasttext")
    file = tmp_path / "model.bin"
    file.write_bytes(tiny_model())
    monkeypatch.setattr(language.sys, "executable", "/bin/false")
    with pytest.raises(RedwhaleError, match="cannot use this model"):
        language.check_language_model(str(file))


def test_the_package_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language.importlib.util, "find_spec", lambda name: None)
    file = tmp_path / "model.bin"
    file.write_bytes(tiny_model())
    with pytest.raises(RedwhaleError, match="fasttext-predict") as caught:
        reasons(["가나다라"], Filters(language_model=str(file)))
    assert "redwhale[language]" in caught.value.fix


def tiny_model() -> bytes:
    """A fastText classifier in its file format: two words, two labels, two dimensions, softmax."""
    words = [("</s>", 0), ("어제는", 0), ("It", 0), ("__label__kor_Hang", 1), ("__label__eng_Latn", 1)]
    arguments = struct.pack("<12id", 2, 5, 1, 1, 5, 1, 3, 3, 0, 0, 0, 100, 1e-4)
    dictionary = struct.pack("<3i2q", 5, 3, 2, 10, -1)
    for word, kind in words:
        dictionary += word.encode() + b"\0" + struct.pack("<qb", 1, kind)
    rows = [(0.0, 0.0), (9.0, 0.0), (0.0, 9.0)]
    matrix = b"\0" + struct.pack("<2q", 3, 2) + b"".join(struct.pack("<2f", *row) for row in rows)
    output = b"\0" + struct.pack("<2q4f", 2, 2, 9.0, 0.0, 0.0, 9.0)
    return MAGIC + struct.pack("<i", 12) + arguments + dictionary + matrix + output
