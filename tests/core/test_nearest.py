"""What was meant by a key or word that is nearly one."""

from pathlib import Path

import pytest

from redwhale.core.recipe.nearest import edits, misspelt
from tests.core.test_recipe import GOOD, faults


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [("", "abc", 3), ("odd", "odd", 0), ("tokens", "tokns", 1), ("stages", "satges", 1), ("ab", "ba", 1),
     ("ca", "abc", 3), ("kitten", "sitting", 3)],
)  # fmt: skip
def test_edits_count_a_swap_once(first: str, second: str, count: int) -> None:
    assert edits(first, second) == edits(second, first) == count


def test_a_word_is_near_another_by_its_length() -> None:
    assert misspelt("batchTokens", ["batch_tokens", "tokens"]) == "batch_tokens"
    assert misspelt("BEST_FIT", ["best-fit", "concatenate"]) == "best-fit"
    assert misspelt("od", ["odd", "even"]) == "odd"
    assert misspelt("evn", ["odd", "even"]) == "even"
    assert misspelt("off", ["web", "books"]) is None
    assert misspelt("concatente", ["concatenate"]) == "concatenate"
    assert misspelt("x" * 10_000, ["x"]) is None


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  batch_tokens", "  learning_rate: 1e-4\n  batch_tokens",
         ":10: pretrain.learning_rate: unknown key `learning_rate`; "
         "`learning_rate` belongs to each entry of `pretrain.stages`"),
        ("  batch_tokens", "  learing_rate: 1e-4\n  batch_tokens",
         ":10: pretrain.learing_rate: unknown key `learing_rate`; "
         "`learning_rate` belongs to each entry of `pretrain.stages`"),
        ("tokenizer: {", "tokenizer: {samples: 4MB, ",
         ":7: tokenizer.samples: unknown key `samples`; "
         "did you mean `sample`? `samples` belongs to `evaluate`"),
        ("  sources:", "  workers: 2\n  sources:",
         ":4: preprocess.workers: unknown key `workers`; `workers` belongs to `machine`"),
        ("tokenizer: {", "tokenizer: {name: x, ",
         ":7: tokenizer.name: unknown key `name`; `name` belongs to the top level"),
        ("tokenizer: {", "tokenizer: {vocabulary: 3, ",
         ":7: tokenizer.vocabulary: unknown key `vocabulary`; keys here: existing, method, new_tokens, auto, "
         "morphemes, sample, source_weights, syllable_coverage, min_count, max_chars, extra_characters, "
         "excluded_words, exclude_adverts, gates"),
        ("  batch_tokens", "  micro_batch: atuo\n  batch_tokens",
         ":10: pretrain.micro_batch: expected a whole number or auto, got 'atuo'; did you mean `auto`?"),
        ("  batch_tokens", "  most_epochs: none\n  batch_tokens",
         ":10: pretrain.most_epochs: expected a number, got 'none'; did you mean `null`?"),
        ("tokenizer: {", "tokenizer: {morphemes: on, ",
         ":7: tokenizer.morphemes: expected true or false, got 'on'; did you mean `true`?"),
        ("language: ko", "language: 7", ":5: preprocess.sources.0.language: expected text, got 7; put it in quotes"),
        ("language: ko", "language: ko, perplexity: {drop_lowst: 1%}",
         ":5: preprocess.sources.0.perplexity.drop_lowst: unknown key `drop_lowst`; did you mean `drop_lowest`?"),
        ("tokens: 2B", "tokens: 2B, split: 0", ":12: pretrain.stages.0.split: expected 1 or more, got 0"),
        ("layers: [3, 1, 1]", "layers: evn",
         ":12: pretrain.stages.0.train.layers: expected none, all, odd, even, added, first:4, last:4, first-last:4, "
         "`every 4 from 3`, any of these with a part such as `odd 1/2`, or a list of layer numbers from 0; got 'evn'; "
         "did you mean `even`?"),
        ("tokens: 2B", "tokens: 2B, mixture: {nwes: 1}",
         ":12: pretrain.stages.0.mixture.nwes: the mixture names nwes, which is no source of `preprocess` (news); "
         "did you mean `news`?"),
        ("  held_out:", "  filters: bokos\n  held_out:",
         ":6: preprocess.filters: there is no filter preset 'bokos' (redwhale-web, fineweb2-ko, books, forum, law, "
         "pairs, off); did you mean `books`?"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) and value.startswith(":") else "",
)  # fmt: skip
def test_a_fault_says_what_was_meant(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert faults(tmp_path, GOOD.replace(old, new, 1)) == [f"redwhale.yaml{expected}"]
