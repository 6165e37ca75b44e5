"""Quality filters of the ``preprocess`` section, and their presets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from redwhale.core.recipe.fields import Fraction, Misfit, Section
from redwhale.core.recipe.nearest import misspelt

Count = Annotated[int, Field(ge=0)]
Ratio = Annotated[float, Field(ge=0)]
"""A quotient that may pass 1, such as marks per word."""


class Filters(Section):
    """Quality filters; a document that breaks one is rejected, with the filter's name, value and limit.

    Words are eojeols, that is, what stands between white space. Code and addresses are left out of all ratios,
    and ratios of letters are taken with code where that is higher. `null` switches a filter off.
    """

    preset: Literal["redwhale-web", "fineweb2-ko", "books", "forum", "law", "pairs", "off"] = "redwhale-web"
    """Where the values that are not given come from."""
    words: Literal["eojeol", "kiwi"] = "eojeol"
    """`kiwi`: words are Kiwi's morphemes and code counts as text, as in FineWeb-2; a thousand times slower."""

    max_replacement: Fraction | None = 0.01
    """Highest share of U+FFFD and of letters typical of mojibake (Latin-1 read as text)."""
    max_boilerplate: Fraction | None = 0.5
    """Highest share of characters in menu, byline and copyright lines, which are removed in any case."""
    min_chars: Count | None = 20
    """Fewest characters of a document."""
    max_chars: Count | None = 1_000_000
    """Most characters of a document."""
    min_script: Fraction | None = 0.5
    """Lowest share of the language's script among letters; Latin ones count only in languages written in Latin."""
    min_hangul: Fraction | None = 0.15
    """Lowest share of Hangul among letters, for `ko`: a syllable says what 2.5 Latin letters say."""
    language_model: str | None = None
    """fastText model file, GlotLID for one, that tells languages; needs `redwhale[language]`."""
    min_language: Fraction | None = 0.65
    """Lowest probability that the language model gives to the source's language."""
    min_letters: Fraction | None = 0.4
    """Lowest share of letters and digits among characters that are not white space; the rest is symbols."""
    max_digits: Fraction | None = 0.5
    """Highest share of digits among characters that are not white space."""
    max_urls: Fraction | None = 0.8
    """Highest share of addresses and targets of links among characters that are not white space."""
    max_jamo_words: Fraction | None = 0.5
    """Highest share of words of jamo alone (`ㅋㅋㅋ`)."""

    max_duplicate_lines: Fraction | None = 0.5
    """Highest share of characters in lines and sentences that occur more than once, if there are five or more."""
    max_dup_line_frac: Fraction | None = None
    """Highest share of lines that repeat an earlier one (Gopher: 30%)."""
    max_dup_line_char_frac: Fraction | None = None
    """Highest share of characters in lines that repeat an earlier one (Gopher: 20%)."""
    max_dup_para_frac: Fraction | None = 0.6
    """Highest share of paragraphs that repeat an earlier one (Gopher: 30%)."""
    max_dup_para_char_frac: Fraction | None = 0.5
    """Highest share of characters in paragraphs that repeat an earlier one (Gopher: 20%)."""
    max_top_2_gram: Ratio | None = 0.4
    """Characters of the most frequent pair of words, times its count, by those of the text (Gopher: 0.20).

    Of eojeols it has to occur three times; the same for three and four words.
    """
    max_top_3_gram: Ratio | None = 0.4
    """The same of three words (Gopher: 0.18)."""
    max_top_4_gram: Ratio | None = 0.4
    """The same of four words (Gopher: 0.16)."""
    max_dup_5_gram: Fraction | None = 0.5
    """Highest share of characters in runs of five words that occurred before (Gopher: 15%)."""
    max_dup_6_gram: Fraction | None = 0.5
    """The same of six words (Gopher: 14%)."""
    max_dup_7_gram: Fraction | None = 0.5
    """The same of seven words (Gopher: 13%)."""
    max_dup_8_gram: Fraction | None = 0.5
    """The same of eight words (Gopher: 12%)."""
    max_dup_9_gram: Fraction | None = 0.5
    """The same of nine words (Gopher: 11%)."""
    max_dup_10_gram: Fraction | None = 0.5
    """The same of ten words (Gopher: 10%)."""

    min_lines: Count = 5
    """Documents of fewer lines are spared the five filters of lines that follow: good news often stands in one."""
    min_line_punct: Fraction | None = None
    """Lowest share of lines that end a sentence (FineWeb: 12%)."""
    max_short_lines: Fraction | None = None
    """Highest share of lines of 30 characters or fewer (FineWeb: 67%)."""
    max_char_dup: Fraction | None = None
    """Highest share of characters in lines that repeat an earlier one, without newlines (FineWeb: 1%)."""
    max_new_lines: Ratio | None = None
    """Most newlines for each word (FineWeb: 0.3)."""
    min_terminal_lines: Fraction | None = None
    """Lowest share of lines that end in `.`, `?`, `!` or a quotation mark, but not in `...` (C4)."""

    min_words: Count | None = None
    """Fewest words with more than punctuation (Gopher: 50)."""
    max_words: Count | None = None
    """Most words with more than punctuation (Gopher: 100,000)."""
    min_mean_word: Ratio | None = 1.3
    """Lowest mean length of words in characters (Gopher: 3)."""
    max_mean_word: Ratio | None = 20.0
    """Highest mean length of words in characters (Gopher: 10): above it the text is not spaced."""
    max_hashes: Ratio | None = None
    """Most `#` for each word (Gopher: 0.1)."""
    max_ellipses: Ratio | None = None
    """Most `...` and `…` for each word (Gopher: 0.1)."""
    max_bullet_lines: Fraction | None = None
    """Highest share of lines that begin with `•` or `-` (Gopher: 90%)."""
    max_ellipsis_lines: Fraction | None = None
    """Highest share of lines that end in `...` or `…` (Gopher: 30%)."""
    min_alpha_words: Fraction | None = 0.2
    """Lowest share of words with a letter (Gopher: 80%)."""
    min_stop_words: Count | None = None
    """Fewest different words of FineWeb-2's 21 Korean stop words, which are morphemes (FineWeb-2: 2)."""
    min_particles: Fraction | None = 0.08
    """Lowest share of Korean words with a particle or ending, in documents of 20 such words or more, for `ko`."""

    max_curly_braces: Count | None = None
    """Most `{` (C4: 0)."""
    max_lorem_ipsum: Count | None = 0
    """Most `lorem ipsum` (C4: 0)."""
    max_javascript_lines: Fraction | None = None
    """Highest share of lines with `javascript` in them (C4 removes such lines)."""
    min_sentences: Count | None = None
    """Fewest sentences (C4: 5)."""
    max_unspaced: Fraction | None = 0.9
    """Highest share of Hangul in runs of 15 syllables or more without a space."""
    max_split_words: Fraction | None = None
    """Highest share of 하다 and 되다 torn off their noun, as machine translation does (`지정 된`), of 30 words or more.

    3% finds 73% of machine-translated product documentation, and 0.03% of film reviews, 0.1% of a technical blog, no
    news and no law; 2% finds 81%, and 0.15%, 0.3%, 0.1% and none.
    """
    max_adult: Ratio | None = 4.0
    """Most words of sexual offers for 100 words; one term alone never counts, whatever its number."""
    max_gambling: Ratio | None = 3.0
    """The same of gambling offers."""
    max_adverts: Ratio | None = 4.0
    """The same of loan, drug and sales offers."""

    @property
    def is_off(self) -> bool:
        """Whether no filter looks at anything."""
        return self.language_model is None and all(getattr(self, name) is None for name in _OFF)

    @model_validator(mode="after")
    def _stop_words_are_morphemes(self) -> Filters:
        if self.min_stop_words is not None and self.words != "kiwi":
            raise ValueError("`min_stop_words` counts morphemes: it needs `words: kiwi`")
        return self

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {**FILTER_PRESETS.get(given.get("preset", ""), {}), **given}


_OFF: dict[str, Any] = {
    name: None for name in Filters.model_fields if name.startswith(("min_", "max_")) and name != "min_lines"
}
FILTER_PRESETS: dict[str, dict[str, Any]] = {
    "redwhale-web": {},
    # FineWeb-2, configs/kor_Hang.yml and fineweb-2-pipeline.py.
    "fineweb2-ko": _OFF
    | {
        "words": "kiwi",
        "min_lines": 0,
        "max_dup_line_frac": 0.374,
        "max_top_2_gram": 0.282,
        "max_top_3_gram": 0.228,
        "max_top_4_gram": 0.185,
        "max_dup_5_gram": 0.201,
        "max_dup_6_gram": 0.184,
        "max_dup_7_gram": 0.168,
        "max_dup_8_gram": 0.154,
        "max_dup_9_gram": 0.14,
        "max_dup_10_gram": 0.127,
        "min_line_punct": 0.062,
        "max_char_dup": 0.1,
        "max_new_lines": 0.196,
        "min_words": 50,
        "max_words": 100_000,
        "min_mean_word": 1.0,
        "max_mean_word": 6.0,
        "max_hashes": 0.1,
        "max_ellipses": 0.1,
        "max_bullet_lines": 0.9,
        "max_ellipsis_lines": 0.3,
        "min_alpha_words": 0.791,
        "min_stop_words": 2,
    },
    # Verse and dialogue stand in short lines and repeat words; a book is long and may quote Chinese characters.
    "books": {
        "min_chars": 200,
        "max_chars": 10_000_000,
        "min_script": 0.3,
        "max_dup_para_frac": None,
        "max_top_2_gram": 0.3,
        "max_top_3_gram": 0.3,
        "max_top_4_gram": 0.3,
        "max_adult": None,
        "max_adverts": 8.0,
    },
    # Short and loose talk; what is sold in forums is not.
    "forum": {
        "min_chars": 10,
        "min_letters": 0.3,
        "max_jamo_words": 0.8,
        "max_mean_word": 30.0,
        "max_unspaced": None,
        "min_particles": None,
    },
    # Statutes repeat themselves, name what they forbid and are long; in turn they are never spaced badly.
    "law": {
        "max_chars": 10_000_000,
        "max_duplicate_lines": 0.7,
        "max_dup_para_frac": None,
        "max_dup_para_char_frac": None,
        "max_top_2_gram": 0.5,
        "max_top_3_gram": 0.5,
        "max_top_4_gram": 0.5,
        "max_mean_word": 10.0,
        "max_unspaced": 0.5,
        "max_adult": None,
        "max_gambling": None,
        "max_adverts": None,
    },
    # Sentences are short. A text with 15% Hangul among its letters has 7% together with its translation, in which each
    # syllable becomes 2.5 letters and the rest stays; names, headings and figures stand on both sides.
    "pairs": {
        "min_chars": 10,
        "min_hangul": 0.06,
        "max_duplicate_lines": 0.7,
        "max_dup_para_frac": 0.7,
        "max_dup_para_char_frac": 0.7,
    },
    "off": _OFF,
}


def _preset(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in FILTER_PRESETS:
        meant = misspelt(value, FILTER_PRESETS)
        raise Misfit(
            f"there is no filter preset {value!r} ({', '.join(FILTER_PRESETS)})",
            fix=f"did you mean `{meant}`?" if meant else "",
        )
    return {"preset": value}


FilterChoice = Annotated[Filters, BeforeValidator(_preset)]
