"""Rows of training thinned: means by hand, bounded whatever their number, and lines that are no rows."""

import json
from pathlib import Path

from redwhale.report.metrics import Thinned, read_metrics


def test_stretches_are_means_of_equally_many_rows() -> None:
    thinned = Thinned(points=2)  # at most four stretches
    for step in range(1, 7):
        thinned.add({"tokens": 10.0 * step, "loss": float(step * step)})
    # After four rows they are joined two by two: (1, 2), (3, 4), then (5, 6).
    assert thinned.series("loss") == [(15.0, 2.5), (35.0, 12.5), (55.0, 30.5)]
    assert thinned.series("loss", highest=True) == [(15.0, 4.0), (35.0, 16.0), (55.0, 36.0)]


def test_a_number_that_stands_in_some_rows_only_is_averaged_over_those() -> None:
    thinned = Thinned(points=1)
    for step, values in enumerate([{"a": 1.0}, {}, {"a": 5.0}], 1):
        thinned.add({"tokens": float(step), **values})
    assert thinned.series("a") == [(1.5, 1.0), (3.0, 5.0)]
    assert thinned.names("a") == ["a"]


def test_the_number_of_points_does_not_grow_with_the_rows() -> None:
    thinned = Thinned(points=50)
    for step in range(20_000):
        thinned.add({"tokens": float(step), "loss": 1.0})
    assert 50 <= len(thinned.stretches) <= 100
    assert sum(stretch.values["loss"][1] for stretch in thinned.stretches) == 20_000
    assert {value for _, value in thinned.series("loss")} == {1.0}


def test_rows_of_steps_and_measurements_are_told_apart(tmp_path: Path) -> None:
    rows = [
        {"step": 0, "tokens": 0, "bits_per_byte": {"source": {"a": 3.0}, "language": {"ko": 3.0}}},
        {"step": 1, "tokens": 8, "loss": 2.0, "seconds": 0.5, "learning_rate": {"head": 0.1}},
        {"step": 2, "tokens": 16, "loss": None, "seconds": 0.25, "learning_rate": {"head": 0.2}},
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + '\n[1]\nno row\n{"step": 3, "tok')
    found = read_metrics(path)
    assert found.unreadable == 2  # the last line has no end: a step is being written
    assert found.step_seconds == 0.75 and found.last_tokens == 16
    assert found.steps.series("loss") == [(8.0, 2.0)]
    assert found.steps.series("learning_rate/head") == [(8.0, 0.1), (16.0, 0.2)]
    assert found.measured.series("bits_per_byte/language/ko") == [(0.0, 3.0)]
