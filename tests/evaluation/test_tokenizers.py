"""``eval tokenizer`` on files and on held-out text."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from redwhale import tables
from redwhale.core.console import Console
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.evaluation import tokenizers
from redwhale.tokenizer import step
from redwhale.tokenizer.base import read_base
from redwhale.tokenizer.extend import write_extension
from tests import pico
from tests.evaluation.test_bits import make_corpus
from tests.tokenizer import makers
from tests.tokenizer.measure.makers import make_unigram_json, make_unigram_model, make_word_piece
from tests.workspace import redwhale

DATA = Path(os.environ.get("REDWHALE_TEST_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with tokenizers of four types, and texts in ``data``."""
    root = tmp_path_factory.mktemp("tokenizers")
    pico.make_spm_base(root / "spm")
    pico.make_byte_base(root / "byte")
    make_unigram_model(root / "unigram" / "tokenizer.model")
    make_unigram_json(root / "xlm" / "tokenizer.json", root / "unigram" / "tokenizer.model")
    make_word_piece(root / "words" / "tokenizer.json")
    (root / "data").mkdir()
    rows = [json.dumps({"text": text}, ensure_ascii=False) for text in pico.korean_documents(20)]
    (root / "data" / "ko.jsonl.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    (root / "data" / "en.txt").write_text("\n\n".join(pico.english_lines()[:30]), encoding="utf-8")
    return root


def measured(names: list[str], data: list[Path], **more: Any) -> dict[str, Any]:
    return tokenizers.run(names, data=data, **{"text": "text", "recipe": None, "console": QUIET, **more})


def test_every_type_on_every_file(folder: Path) -> None:
    names = ["spm", "byte", "unigram", "xlm", "words"]
    result = measured([str(folder / name) for name in names], [folder / "data"])
    assert list(result["tokenizers"]) == names and result["reference"] == "spm"
    assert [t["library"] for t in result["tokenizers"].values()] == [
        "tokenizers", "tokenizers", "sentencepiece", "tokenizers", "tokenizers"]  # fmt: skip
    assert list(result["sources"]) == ["en", "ko"]  # by name, each file a source
    korean = result["sources"]["ko"]
    assert korean["documents"] == 20 and korean["characters"] == sum(map(len, pico.korean_documents(20)))
    assert korean["tokenizers"]["spm"]["ratio"] == 1.0
    # The unigram model knows the Korean of its training, the byte-level one no Hangul at all.
    assert korean["tokenizers"]["unigram"]["ratio"] < 0.5 < korean["tokenizers"]["byte"]["ratio"]
    assert korean["tokenizers"]["byte"]["morpheme_boundaries_kept"] == 1.0
    assert result["sources"]["en"]["tokenizers"]["byte"]["byte_token_share"] == 0.0
    assert result["sources"]["en"]["tokenizers"]["words"]["unknown_token_share"] == 1.0
    pooled = sum(source["tokenizers"]["byte"]["tokens"] for source in result["sources"].values())
    assert result["all"]["tokenizers"]["byte"]["tokens"] == pooled
    assert result["languages"] == {}
    assert all(t["encode_cpu_seconds"] > 0 for t in korean["tokenizers"].values())


def test_the_recipes_own_on_its_held_out_text(tmp_path: Path) -> None:
    root = makers.write_corpus(tmp_path / "corpus", makers.small_texts()).parent
    recipe = makers.recipe(root, pico.make_spm_base(tmp_path / "base"))
    manifest = step.run(recipe, console=QUIET)
    result = tokenizers.run([], data=[], text="text", recipe=recipe, console=QUIET)
    assert list(result["tokenizers"]) == ["base", "tokenizer"]
    assert list(result["languages"]) == ["ko", "en"]
    assert result["tokenizers"]["tokenizer"]["new_pieces"] == manifest.metrics["new_pieces"]
    assert result["tokenizers"]["base"]["new_pieces"] is None
    for name, wanted in manifest.metrics["sources"].items():
        found = result["sources"][name]["tokenizers"]
        for side, tokenizer in (("base", "base"), ("new", "tokenizer")):
            assert found[tokenizer]["tokens"] == wanted[side]["tokens"]
            assert found[tokenizer]["renyi_efficiency"] == wanted[side]["renyi_efficiency"]
        assert found["tokenizer"]["ratio"] == wanted["ratio"]


def test_a_recipe_without_held_out_text_or_tokenizer_is_an_error(tmp_path: Path) -> None:
    base = pico.make_spm_base(tmp_path / "base")
    recipe = Recipe.model_validate({"version": 1, "workdir": str(tmp_path), "base": {"model": str(base)}})
    make_corpus(tmp_path / "corpus", {"news": ("ko", [])})
    with pytest.raises(RedwhaleError, match="the corpus holds no held-out documents"):
        tokenizers.run(["base"], data=[], text="text", recipe=recipe, console=QUIET)
    with pytest.raises(RedwhaleError, match="there is no finished result here"):
        tokenizers.run(["tokenizer"], data=[base / "tokenizer.json"], text="text", recipe=recipe, console=QUIET)


def test_names_tell_the_tokenizers_and_files_apart(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        pico.make_byte_base(tmp_path / name / "tok")
        (tmp_path / name / "글.txt").write_text("한국 사람")
    names = [str(tmp_path / "a" / "tok"), str(tmp_path / "b" / "tok" / "tokenizer.json")]
    result = measured(names, [tmp_path / "a" / "글.txt", tmp_path / "b" / "글.txt"])
    assert list(result["tokenizers"]) == ["a/tok", "b/tok"]
    assert list(result["sources"]) == ["a/글", "b/글"]
    both = [str(folder / "spm" / name) for name in ("tokenizer.json", "tokenizer.model")]
    found = measured(both, [folder / "data" / "ko.jsonl.gz"])["sources"]["ko"]["tokenizers"]
    assert [name.rpartition("/")[2] for name in found] == ["tokenizer.json", "tokenizer.model"]
    first, second = found.values()
    assert first["tokens"] == second["tokens"] and first["byte_token_share"] == second["byte_token_share"]
    assert first["morpheme_boundary_precision"] == second["morpheme_boundary_precision"]


@pytest.mark.parametrize(
    ("names", "data", "message"),
    [
        (["none"], ["data"], "there is no such folder or file"),
        (["data"], ["data"], r"there is no tokenizer\.json"),
        (["spm", "spm"], ["data"], "is named twice"),
        (["spm"], ["none.txt"], "there is no such file or folder"),
        (["spm"], ["spm/tokenizer.model"], "the format of the file is not known by its ending"),
        (["spm"], ["models"], "the folder holds no file whose ending is known"),
        (["spm"], ["data/en.txt", "data/en.txt"], r"--data: .*en\.txt is named twice"),
        (["spm"], ["empty.txt"], "there is no text to measure on"),
        (["spm"], ["titles.jsonl"], r"titles\.jsonl has no column 'text'"),
        (["spm"], ["titles.parquet"], r"titles\.parquet has no column 'text'"),
    ],
)
def test_bad_input_is_an_error_of_usage(folder: Path, names: list[str], data: list[str], message: str) -> None:
    (folder / "empty.txt").write_text("")
    (folder / "models").mkdir(exist_ok=True)
    (folder / "titles.jsonl").write_text('{"title": "제목"}\n')
    pq.write_table(pa.table({"title": ["제목"]}), folder / "titles.parquet")
    with pytest.raises(RedwhaleError, match=message) as caught:
        measured([str(folder / name) for name in names], [folder / name for name in data])
    assert caught.value.exit_code == USAGE and caught.value.fix
    assert "source data" not in str(caught.value)


def test_what_cannot_be_read_is_told_and_spoils_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ko.jsonl").write_text('{"text": "한국"}\n{broken\n{"text": ""}\n{"text": "<s> \\ud800"}\n')
    (tmp_path / "none.txt").write_text("\n\n")
    result = measured([str(folder / "words"), str(folder / "spm")], [tmp_path])
    assert list(result["sources"]) == ["ko"] and result["sources"]["ko"]["documents"] == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'ko.jsonl'}: 2 records are left out: bad_json 1, empty_text 1" in said
    assert "none holds no text and is left out" in said
    assert "100.00 % of the tokens of words stand for text that it cannot spell" in said


def test_another_column(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "titles.jsonl").write_text('{"title": "제목"}\n')
    result = measured([str(folder / "spm")], [tmp_path / "titles.jsonl"], text="title")
    assert result["all"]["characters"] == 2


def test_the_setting_of_threads_is_put_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("true", None):
        monkeypatch.setenv("TOKENIZERS_PARALLELISM", "x")
        if value is None:
            monkeypatch.delenv("TOKENIZERS_PARALLELISM")
        else:
            monkeypatch.setenv("TOKENIZERS_PARALLELISM", value)
        measured([str(folder / "spm")], [folder / "data" / "en.txt"])
        assert os.environ.get("TOKENIZERS_PARALLELISM") == value


def test_the_table_has_a_row_for_each_tokenizer_and_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    result = measured([str(folder / "spm"), str(folder / "byte")], [folder / "data"])
    tables.show_tokenizers(result, console)
    lines = [line.split("│") for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in line[1:-1]] for line in lines]
    assert [row[:2] for row in cells[:6]] == [
        ["en", "spm"], ["", "byte"], ["ko", "spm"], ["", "byte"], ["all", "spm"], ["", "byte"]]  # fmt: skip
    figures = result["sources"]["ko"]["tokenizers"]["byte"]
    assert cells[3][2] == f"{figures['tokens_per_character']:.3f}" and cells[3][8] == "100%"
    assert cells[0][8:] == ["-", "-"]  # no Korean, no morphemes
    assert cells[6][:3] == ["spm", "600", "-"]


def test_the_command_needs_no_recipe_with_data(folder: Path) -> None:
    done = redwhale("eval", "tokenizer", "spm", "unigram/tokenizer.model", "--data", "data", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["command"] == "eval tokenizer" and list(document["tokenizers"]) == ["spm", "unigram"]
    missing = redwhale("eval", "tokenizer", "spm", cwd=folder)
    assert missing.returncode == 2 and "there is no recipe here" in missing.stderr


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="no real data: set REDWHALE_TEST_DATA")
def test_known_figures_of_real_tokenizers_on_real_korean() -> None:
    names = [str(DATA / "tokenizers" / name) for name in ("llama2", "llama-fast", "llama3-tiktoken", "gpt2")]
    result = measured(names, [DATA / "ko" / "webnews.jsonl.gz"])
    assert list(result["tokenizers"]) == ["llama2", "llama-fast", "llama3-tiktoken", "gpt2"]
    llama2, fast, llama3, gpt2 = result["all"]["tokenizers"].values()
    assert llama2["tokens"] == fast["tokens"]
    assert llama2["tokens_per_character"] == pytest.approx(1.5, abs=0.05)
    assert llama2["byte_token_share"] == pytest.approx(0.52, abs=0.03)
    assert llama3["tokens_per_character"] == pytest.approx(0.64, abs=0.03)
    assert gpt2["byte_token_share"] > 0.9
    assert llama2["morpheme_boundaries_kept"] == 1.0 > llama3["morpheme_boundaries_kept"]


def test_lines_without_hangul_that_an_extension_changes_are_counted(tmp_path: Path) -> None:
    base = read_base(pico.make_spm_base(tmp_path / "base"))
    write_extension(base, ["한", "①"], tmp_path / "honest")
    write_extension(base, ["한", "qz"], tmp_path / "other")
    text = tmp_path / "text.txt"
    text.write_text("xqz the\nplain\n① sign\n한 line\n", encoding="utf-8")
    names = [str(tmp_path / name) for name in ("base", "honest", "other")]
    found = tokenizers.run(names, data=[text], text="text", recipe=None, console=QUIET)["tokenizers"]
    assert found["base"]["untouched"] is None
    assert found["honest"]["untouched"] == {"lines_without_hangul": 2, "changed": 0, "example": None}
    assert found["other"]["untouched"] == {"lines_without_hangul": 3, "changed": 1, "example": "xqz the"}
