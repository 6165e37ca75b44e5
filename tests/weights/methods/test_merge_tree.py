"""Merge trees: the tokenizer's own joins, by hand and against the tokenizers library."""

from __future__ import annotations

import pytest

from redwhale.tokenizer.merges import last_merge
from redwhale.weights.methods.merge_tree import tree_mixtures


def document(vocabulary: list[str], merges: list[tuple[str, str]]) -> dict[str, object]:
    return {"model": {"vocab": {piece: i for i, piece in enumerate(vocabulary)}, "merges": [list(m) for m in merges]}}


def test_a_tree_by_hand() -> None:
    vocabulary = ["a", "b", "c", "d", "ab", "abc", "abcd"]
    tokenizer = document(vocabulary, [("a", "b"), ("ab", "c"), ("abc", "d")])
    trees = tree_mixtures(tokenizer, ["abc", "abcd"], [[4, 2], [4, 2, 3]], base_ids=5)
    assert trees == [{2: 0.5, 4: 0.5}, {2: 0.25, 3: 0.5, 4: 0.25}]


def test_syllables_that_no_merge_makes_are_means_of_their_bytes() -> None:
    vocabulary = ["<0xEA>", "<0xB0>", "<0x80>", "나", "가", "가나", "가나가"]
    tokenizer = document(vocabulary, [("가", "나"), ("가나", "가")])
    bytes_of_ga = [0, 1, 2]
    trees = tree_mixtures(
        tokenizer,
        ["가", "가나", "가나가"],
        [bytes_of_ga, [*bytes_of_ga, 3], [*bytes_of_ga, 3, *bytes_of_ga]],
        base_ids=4,
    )
    assert trees[0] == {0: 1.0, 1: 1.0, 2: 1.0}
    assert trees[1] == {0: pytest.approx(1 / 6), 1: pytest.approx(1 / 6), 2: pytest.approx(1 / 6), 3: 0.5}
    assert trees[2] == {0: pytest.approx(1 / 4), 1: pytest.approx(1 / 4), 2: pytest.approx(1 / 4), 3: 0.25}


def test_merges_go_by_rank_not_from_the_left() -> None:
    ranks = {("b", "c"): 0, ("a", "b"): 1, ("a", "bc"): 2, ("ab", "c"): 3}
    assert last_merge("abc", ranks) == ("a", "bc")
    assert last_merge("abcb", ranks) is None
    assert last_merge("a", ranks) is None


def test_joins_complete_each_new_piece_of_a_real_tokenizer(tmp_path) -> None:
    from tokenizers import Tokenizer, models, trainers

    words = ["가나다", "가나", "나다라", "다라가나", "가나다라마", "마가", "나다"] * 5
    tokenizer = Tokenizer(models.BPE())
    tokenizer.train_from_iterator(words, trainers.BpeTrainer(vocab_size=40, show_progress=False))
    import json

    model = json.loads(tokenizer.to_str())["model"]
    ranks = {tuple(merge): rank for rank, merge in enumerate(model["merges"])}
    longer = [piece for piece in model["vocab"] if len(piece) > 1]
    assert len(longer) > 5
    for piece in longer:
        left, right = last_merge(piece, ranks)
        assert left + right == piece and (left, right) in ranks
        assert [token.value for token in tokenizer.model.tokenize(piece)] == [piece]
