"""A hundred typos in complete recipes: each is refused at once, and nearly each is told what was meant."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.load import load_recipe
from tests.core.typos import Typo, typos
from tests.workspace import redwhale

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
COUNT, AT_LEAST = 100, 90


@pytest.fixture(scope="module")
def slips() -> list[Typo]:
    return typos([path.read_text(encoding="utf-8") for path in CONFIGS], count=COUNT, seed=2408)


def refused(folder: Path, typo: Typo) -> tuple[RedwhaleError, ...]:
    file = folder / "redwhale.yaml"
    file.write_text(typo.text, encoding="utf-8")
    with pytest.raises(RedwhaleError) as caught:
        load_recipe(file)
    return (caught.value, *caught.value.others)


def names_the_right_one(faults: tuple[RedwhaleError, ...], typo: Typo) -> bool:
    """Tell whether the fault on the typo's line holds the right word as a suggestion, in backquotes."""
    there = [str(fault) for fault in faults if f"redwhale.yaml:{typo.line}:" in f"{fault.where}:"]
    return any(f"`{typo.right}`" in fault.replace("the top level", "the `top level`") for fault in there)


@pytest.mark.promise("F27")
def test_a_hundred_typos_are_refused_and_told_what_was_meant(
    tmp_path: Path, slips: list[Typo], record_property: Callable[[str, object], None]
) -> None:
    named, missed, slowest = Counter[str](), [], 0.0
    for typo in slips:
        started = time.process_time()
        faults = refused(tmp_path, typo)
        slowest = max(slowest, time.process_time() - started)
        assert all(fault.exit_code == 2 for fault in faults), typo
        if names_the_right_one(faults, typo):
            named[typo.rule] += 1
        else:
            told = [str(fault).replace(f"{tmp_path}/", "") for fault in faults]
            missed.append(f"{typo.rule}: {typo.wrong} for {typo.right}, line {typo.line}: {' | '.join(told)}")
    score = f"{len(slips)} of {len(slips)} refused, {named.total()} told what was meant, slowest {slowest:.2f} s"
    record_property("typos", score)
    print(score, *missed, sep="\n")
    assert len(slips) == COUNT and slowest < 1
    assert named.total() >= AT_LEAST, "\n".join(missed)


def test_typos_end_the_command_line_with_2_and_one_line_a_fault(tmp_path: Path, slips: list[Typo]) -> None:
    for typo in slips[:: COUNT // 4]:
        (tmp_path / "redwhale.yaml").write_text(typo.text, encoding="utf-8")
        done = redwhale("status", cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        lines = done.stderr.splitlines()
        assert all(line.startswith("error: redwhale.yaml:") for line in lines), lines
        assert any(line.startswith(f"error: redwhale.yaml:{typo.line}: ") for line in lines), (typo, lines)
