"""Documents of two languages in one sequence: nothing lost or doubled, labels right, the share as asked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.core.errors import RedwhaleError
from redwhale.training.batch import Batcher
from redwhale.training.data import DataOrder, TokenStore
from redwhale.training.mixing import exchange, pair_neighbours, partners
from redwhale.training.sequences import Sequence, TokenSource
from tests.training.stages import run, stage, write_recipe

END = 2  # and 3 ends an English document, so that it can be told whose it is
ENDS = {"ko": 2, "en": 3, "code": 4}
PACKINGS = ("best-fit", "concatenate")


def make_source(name: str, language: str, lengths: list[int], *, first_id: int) -> TokenSource:
    """Return a stream whose tokens are all different, but for what ends each document."""
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokens = np.arange(first_id, first_id + starts[-1], dtype=np.uint32)
    tokens[starts[1:] - 1] = ENDS[language]
    return TokenSource(name, language, tokens, starts, text_bytes=int(starts[-1]) * 3)


def make_store(**lengths: list[int]) -> TokenStore:
    """Return a store of sources that are named after their language."""
    sources = [
        make_source(name, name, each, first_id=100_000 * (i + 1)) for i, (name, each) in enumerate(lengths.items())
    ]
    return TokenStore(tuple(sources), end_token=END, vocabulary=1 << 20)


def make_order(store: TokenStore, share: float, **more) -> DataOrder:
    return DataOrder(store, **({"mixture": {}, "sequence_length": 8, "seed": 7} | more), mix_languages=share)


def language_of(token: int) -> int:
    return token // 100_000 or token - 1


def row(ids: list[int], labels: list[int], documents: list[int], source: str) -> Sequence:
    documents_ = np.array(documents, dtype=np.int32)
    first = np.maximum.accumulate(np.where(np.diff(documents_, prepend=-1) > 0, np.arange(len(ids)), 0))
    return Sequence(np.array(ids), np.array(labels), documents_, np.arange(len(ids)) - first, source)


def test_whole_documents_are_exchanged_where_they_fit_by_hand() -> None:
    first = row([10, 11, 12, 2, 15, 16, 2, 2], [11, 12, 2, -100, 16, 2, -100, -100], [0, 0, 0, 0, 1, 1, 1, 2], "ko")
    second = row([20, 21, 22, 2, 24, 25, 26, 2], [21, 22, 2, -100, 25, 26, 2, -100], [0, 0, 0, 0, 1, 1, 1, 1], "en")
    one, other = exchange(first, second, (7, 8), pad=END)
    # 3 of the first's 7 tokens are nearest its half, but then 4 come: 8 in one, 7 in the other
    assert one.input_ids.tolist() == [10, 11, 12, 2, 20, 21, 22, 2]
    assert one.labels.tolist() == [11, 12, 2, -100, 21, 22, 2, -100]
    assert one.document_ids.tolist() == [0] * 8 and one.position_ids.tolist() == list(range(8))
    assert other.input_ids.tolist() == [24, 25, 26, 2, 15, 16, 2, END]
    assert other.labels.tolist() == [25, 26, 2, -100, 16, 2, -100, -100]
    assert other.document_ids.tolist() == [0] * 7 + [1]  # padding stays apart
    assert other.position_ids.tolist() == [*range(7), 0]
    assert (one.source, other.source) == ("ko + en", "en + ko")


def test_one_long_document_is_cut_and_keeps_its_last_target_by_hand() -> None:
    first = row([10, 11, 12, 13, 14, 15], [11, 12, 13, 14, 15, 16], [0] * 6, "ko")  # goes on elsewhere
    second = row([20, 2, 22, 23, 24, 2], [2, -100, 23, 24, 2, -100], [0, 0, 1, 1, 1, 1], "en")
    one, other = exchange(first, second, (6, 6), pad=END)
    assert one.input_ids.tolist() == [10, 11, 12, 13, 20, 2]  # only one of the two is cut
    assert one.labels.tolist() == [11, 12, 13, 14, 2, -100]  # 14 now stands in the other
    assert other.input_ids.tolist() == [22, 23, 24, 2, 14, 15]
    assert other.labels.tolist() == [23, 24, 2, -100, 15, 16]
    both = exchange(first, row([20] * 6, [20] * 6, [0] * 6, "en"), (6, 6), pad=END)
    assert [each.input_ids.tolist() for each in both] == [[10, 11, 12, 20, 20, 20], [20, 20, 20, 13, 14, 15]]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(2, 9), min_size=1, max_size=5), st.lists(st.integers(2, 9), min_size=1, max_size=5))
def test_documents_stay_whole_wherever_they_can(one: list[int], other: list[int]) -> None:
    size = max(sum(one), sum(other)) + 1
    store = make_store(ko=one, en=other)
    order = DataOrder(store, mixture={}, sequence_length=size, seed=1, packing="best-fit")
    rows = [order._cut[name].sequence(0) for name in ("ko", "en")]
    mixed = exchange(rows[0], rows[1], (sum(one), sum(other)), pad=END)
    whole = any(
        sum(one) - a + b <= size and sum(other) - b + a <= size
        for a, b in product(inner_sums(one), inner_sums(other))
    )  # fmt: skip
    cut = sum(
        sum(int(label) not in {int(i) for i in each.input_ids} | {2, 3, -100} for label in each.labels)
        for each in mixed
    )  # fmt: skip
    assert cut == 0 if whole else cut <= 2  # a cut may fall on a border


def inner_sums(lengths: list[int]) -> set[int]:
    """Return what any of the documents add up to, from a quarter to three quarters of all."""
    sums = {sum(each) for count in range(len(lengths)) for each in combinations(lengths, count)}
    total = sum(lengths)
    return {each for each in sums if 4 * each >= total and 4 * (total - each) >= total}


def following(store: TokenStore) -> dict[int, int]:
    """Return the token after each one in its document, but for EOS."""
    return {
        int(token): int(after)
        for source in store.sources
        for token, after in zip(source.tokens, source.tokens[1:], strict=False)
        if token > 10
    }


LENGTHS = st.lists(st.integers(1, 30), max_size=40).map(lambda lengths: [2, *lengths])


@settings(max_examples=120, deadline=None)
@given(
    LENGTHS, LENGTHS,
    st.integers(8, 33), st.sampled_from(PACKINGS), st.floats(0.05, 1), st.integers(1, 70),
)  # fmt: skip
def test_nothing_is_lost_or_doubled_and_labels_are_right(
    korean: list[int], english: list[int], length: int, packing: str, share: float, sequences: int
) -> None:
    store = make_store(ko=korean, en=english)
    words = {"mixture": {"ko": 1, "en": 1}, "sequence_length": length, "packing": packing}
    plain, mixed = make_order(store, 0.0, **words), make_order(store, share, **words, sequences=sequences)
    after = following(store)
    before, now = Counter(), Counter()
    for index in range(sequences):
        old, new = plain.sequence(index), mixed.sequence(index)
        before.update(zip(old.input_ids.tolist(), old.labels.tolist(), strict=True))
        now.update(zip(new.input_ids.tolist(), new.labels.tolist(), strict=True))
        for token, label in zip(new.input_ids.tolist(), new.labels.tolist(), strict=True):
            assert label == (after[token] if token > 10 else -100)
        real = new.document_ids == 0
        if len(mixed.parts(index)) == 2:
            assert {language_of(token) for token in new.input_ids[real].tolist()} >= {1, 2}
            assert new.position_ids.tolist() == [*range(real.sum()), *range(length - real.sum())]
            assert (new.input_ids[~real] == END).all() and (new.labels[~real] == -100).all()
        else:
            assert new.input_ids.tolist() == old.input_ids.tolist()
    assert now == before
    assert mixed.mixed(sequences) == sum(len(mixed.parts(index)) == 2 for index in range(sequences))
    assert mixed.cursor_after(sequences) == plain.cursor_after(sequences)
    assert mixed.realised(sequences) == plain.realised(sequences)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["ko", "en", "code", "ja"]), min_size=1, max_size=60))
def test_pairs_are_as_many_as_there_can_be(languages: list[str]) -> None:
    pairs = pair_neighbours(languages)
    places = [place for pair in pairs for place in pair]
    assert len(set(places)) == len(places)
    assert all(first < second and languages[first] != languages[second] for first, second in pairs)
    assert [second for _, second in pairs] == sorted(second for _, second in pairs)
    most = Counter(languages).most_common(1)[0][1]
    assert len(pairs) == min(len(languages) // 2, len(languages) - most)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["ko", "en"]), min_size=2, max_size=200), st.floats(0, 1))
def test_the_share_is_exact_in_each_window_or_refused(languages: list[str], share: float) -> None:
    most = 2 * min(Counter({"ko": 0, "en": 0} | Counter(languages)).values())
    if 2 * round(share * len(languages) / 2) > most:
        with pytest.raises(RedwhaleError, match=r"`mix_languages` is .* gives at most") as caught:
            partners(languages, share)
        assert caught.value.exit_code == 2
        return
    found = partners(languages, share)
    assert abs((found >= 0).sum() - share * len(languages)) <= 1
    for place in np.flatnonzero(found >= 0):
        assert found[found[place]] == place and languages[found[place]] != languages[place]


def test_the_largest_share_is_named_and_can_be_had() -> None:
    store = make_store(ko=[9] * 40, en=[9] * 40, code=[9] * 40)
    words = {"mixture": {"ko": 0.7, "en": 0.2, "code": 0.1}}  # 717, 205 and 102 of 1,024
    with pytest.raises(RedwhaleError, match=r"the mixture of this stage gives at most 0\.599609") as caught:
        make_order(store, 0.61, **words)
    assert caught.value.exit_code == 2 and "set it to at most 0.599609" in str(caught.value)
    assert make_order(store, 0.599609, **words).mixed(1024) == 2 * 307
    assert make_order(store, 0.25, **words).mixed(2048) == 2 * 256
    with pytest.raises(RedwhaleError, match="this stage gives at most 0; set"):
        make_order(make_store(ko=[9] * 40), 0.1)


def test_mixed_sequences_lie_evenly_and_partners_near() -> None:
    store = make_store(ko=[9] * 400, en=[9] * 400)
    order = make_order(store, 0.3, mixture={"ko": 0.75, "en": 0.25})
    for first in range(0, 1024, 128):
        assert order.mixed(first + 128) - order.mixed(first) == pytest.approx(0.3 * 128, abs=13)  # as English comes
    distances = [abs(order._partner(index) - index) for index in range(1024) if order._partner(index) is not None]
    assert np.median(distances) == 1 and max(distances) < 64


def test_no_pair_reaches_beyond_the_stage() -> None:
    store = make_store(ko=[9] * 100, en=[9] * 100)
    for end in range(40, 60):
        order = make_order(store, 1.0, mixture={"ko": 1, "en": 1}, sequences=end)
        parts = [order.parts(index) for index in range(end)]
        used = Counter(address for each in parts for address in each)
        read = Counter(order.address(index) for index in range(end))
        assert {address: count for address, count in used.items() if count % 2}.keys() <= read.keys()
        assert set(used) == set(read)


@pytest.mark.parametrize("packing", PACKINGS)
def test_the_order_is_the_same_for_any_processes_and_after_a_seek(packing: str) -> None:
    store = make_store(ko=[11, 5, 3] * 30, en=[6, 20] * 20)
    words = {"packing": packing, "sequences": 96, "sequence_length": 16}
    whole = [make_order(store, 0.5, **words).sequence(index).input_ids.tolist() for index in range(96)]
    late = make_order(store, 0.5, **words)
    assert [late.sequence(index).input_ids.tolist() for index in reversed(range(96))] == whole[::-1]
    for step in range(12):
        rows = []
        for rank in range(2):
            order = make_order(store, 0.5, **words)
            rows.append(Batcher(order.sequence, 8, 4, own_documents=True, rank=rank, world=2).step(step)[0].input_ids)
        both = [rows[index % 2][index // 2].tolist() for index in range(8)]
        assert both == whole[8 * step : 8 * step + 8]


def test_documents_of_a_mixed_sequence_see_each_other_and_padding_sees_none() -> None:
    store = make_store(ko=[3, 3] * 30, en=[3, 3] * 30)  # two to a sequence of 8, and two of padding
    order = make_order(store, 1.0, packing="best-fit", mixture={"ko": 1, "en": 1})
    index = next(index for index in range(20) if len(order.parts(index)) == 2)
    batch = Batcher(lambda number: order.sequence(index), 1, 1, own_documents=True).step(0)[0]
    assert batch.documents is not None and batch.documents.tolist() == [[0, 0, 0, 0, 0, 0, 1, 1]]
    assert batch.positions.tolist() == [[0, 1, 2, 3, 4, 5, 0, 1]]
    assert (batch.labels == -100).tolist() == [[False, False, True, False, False, True, True, True]]


def test_sources_of_one_language_are_not_mixed_with_each_other() -> None:
    named = (("news", "ko"), ("wiki", "ko"), ("docs", "en"))
    sources = [make_source(*each, [9] * 50, first_id=100_000 * (i + 1)) for i, each in enumerate(named)]
    order = make_order(
        TokenStore(tuple(sources), END, 1 << 20), 0.6, mixture=dict.fromkeys(("news", "wiki", "docs"), 1)
    )
    held = {frozenset(name for name, _ in order.parts(index)) for index in range(500)}
    assert {each for each in held if len(each) == 2} == {frozenset({"docs", "news"}), frozenset({"docs", "wiki"})}


def test_a_stage_mixes_and_says_so(tmp_path: Path, starts: Callable[..., Path]) -> None:
    root = starts(tmp_path)
    plain = run(write_recipe(root, stage(layers="odd")))
    assert "mix_languages" not in plain.fields and plain.counts["mixed_sequences"] == 0
    recipe = write_recipe(root, stage(layers="odd"), mix_languages=0.5)
    with pytest.raises(RedwhaleError, match="mix_languages"):
        run(recipe)
    manifest = run(recipe, fresh=True)
    assert 12 <= manifest.counts["mixed_sequences"] <= 20  # half of 40, less where English is late
    assert manifest.counts["mixed_sequences"] % 2 == 0
    for count in ("cursor", "realised_mixture", "sequences", "valid_tokens"):
        assert manifest.counts[count] == plain.counts[count]
    assert manifest.metrics["loss"] != plain.metrics["loss"]
    text = (recipe.stage_folder(0) / "first-batch.txt").read_text()
    mixed = re.findall(r"^=== sequence \d+, (\w+):\d+ \+ (\w+):\d+$", text, flags=re.MULTILINE)
    assert mixed and all(set(each) == {"news", "docs"} for each in mixed)


def test_a_stage_may_have_a_share_of_its_own_and_too_much_is_refused(
    tmp_path: Path, starts: Callable[..., Path]
) -> None:
    root = starts(tmp_path)
    with pytest.raises(RedwhaleError, match=r"`mix_languages` is 0\.6, .* at most 0\.5") as caught:
        run(write_recipe(root, stage(layers="odd"), mix_languages=0.6))
    assert caught.value.exit_code == 2
    english = {"mixture": {"docs": 1.0}, "mix_languages": 0.0}
    recipe = write_recipe(root, stage(layers="odd"), stage("two", layers="even") | english, mix_languages="40%")
    assert run(recipe).fields["mix_languages"] == 0.4
    second = run(recipe, 1)
    assert second.counts["mixed_sequences"] == 0 and "mix_languages" not in second.fields
