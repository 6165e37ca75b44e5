"""KenLM scores our models as we do, and its files are read."""

from pathlib import Path

import numpy as np
import pytest

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.perplexity import Perplexity
from redwhale.core.tasks import Workers
from redwhale.corpus.arrays import map_arrays
from redwhale.corpus.perplexity import model as module
from redwhale.corpus.perplexity.kenlm_model import KenlmModel, write_arpa
from redwhale.corpus.perplexity.model import Model, train
from redwhale.corpus.texts import Texts
from tests.corpus.perplexity.makers import document

DOCUMENTS = [document(seed) for seed in range(80)]


@pytest.fixture(params=[2, 4])
def files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, Model]:
    monkeypatch.setattr(module, "VOCABULARY", 420)
    sizes = {"news": 10**6}
    train(
        [("news", Texts.of(DOCUMENTS))],
        Perplexity(order=request.param),
        tmp_path,
        sizes=sizes,
        folds=1,
        workers=Workers(1),
    )
    model = Model.load(tmp_path)
    proto = map_arrays(tmp_path / module.MODEL_NAME)["pieces"].tobytes()
    (tmp_path / "pieces.model").write_bytes(proto)
    write_arpa(model.tables[0], proto, tmp_path / "model.arpa")
    return tmp_path / "model.arpa", tmp_path / "pieces.model", model


def test_kenlm_scores_a_written_model_alike(files: tuple[Path, Path, Model]) -> None:
    pytest.importorskip("kenlm")
    arpa, pieces, model = files
    code = "\n```\nfor i in range(3): pass\n```\n"
    texts = Texts.of([*DOCUMENTS[:10], document(500), document(501) + code, "낯선 漢字 🐋 텍스트 " * 12, "짧다"])
    theirs = KenlmModel.load(arpa, pieces).score(texts)
    assert theirs == pytest.approx(model.score(texts), abs=1e-3, nan_ok=True)
    assert np.isnan(theirs[-1])


def test_a_missing_or_wrong_file_is_said(tmp_path: Path) -> None:
    pytest.importorskip("kenlm")
    with pytest.raises(RedwhaleError, match="there is no such file") as missing:
        KenlmModel.load(tmp_path / "no.arpa", tmp_path / "no.model")
    assert missing.value.exit_code == USAGE
    for name in ("wrong.arpa", "wrong.model"):
        (tmp_path / name).write_text("not a model")
    with pytest.raises(RedwhaleError, match="the model cannot be read"):
        KenlmModel.load(tmp_path / "wrong.arpa", tmp_path / "wrong.model")


def test_the_package_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "kenlm", None)
    with pytest.raises(RedwhaleError) as missing:
        KenlmModel.load(tmp_path / "a.arpa", tmp_path / "a.model")
    assert missing.value.fix == "pip install 'redwhale[kenlm]'"
