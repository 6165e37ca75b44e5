"""Recipes: every fault at once, with its line and the nearest right key; nothing silently ignored."""

import time
from pathlib import Path

import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe import presets
from redwhale.core.recipe.load import load_recipe, load_with_origins
from redwhale.core.recipe.render import flow, render_resolved
from redwhale.core.recipe.yaml_lines import read_yaml, scalar

GOOD = """\
version: 1
workdir: run
preprocess:
  sources:
    - {name: news, language: ko, path: data/*.jsonl}
  held_out: {fraction: 0.5%}
tokenizer: {new_tokens: 100, sample: 4MB}
pretrain:
  sequence_length: 128
  batch_tokens: 1k
  stages:
    - {name: a, train: {layers: [3, 1, 1]}, tokens: 2B, learning_rate: 2e-4}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "redwhale.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(folder: Path, text: str, *changes: str) -> list[str]:
    with pytest.raises(RedwhaleError) as caught:
        load_recipe(write(folder, text), changes)
    assert caught.value.exit_code == 2
    return [str(error).replace(str(folder) + "/", "") for error in (caught.value, *caught.value.others)]


def test_values_as_people_write_them(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, GOOD))
    assert recipe.preprocess.held_out.fraction == 0.005
    assert recipe.tokenizer.sample == 4_000_000
    assert recipe.pretrain.batch_tokens == 1000
    assert recipe.pretrain.stages[0].tokens == 2_000_000_000
    assert recipe.pretrain.stages[0].learning_rate == 2e-4
    assert recipe.pretrain.stages[0].train.layers == [1, 3]
    assert recipe.root == tmp_path / "run"


@pytest.mark.promise("F27")
def test_all_faults_at_once_with_lines_and_suggestions(tmp_path: Path) -> None:
    text = GOOD.replace("language: ko", "langage: ko").replace("sample: 4MB", 'new_token: 3, sample: "many"')
    text = text.replace("learning_rate: 2e-4", 'learning_rate: "2e-4"')
    assert faults(tmp_path, text) == [
        "redwhale.yaml:5: preprocess.sources.0.language: the key `language` is missing; add it",
        "redwhale.yaml:5: preprocess.sources.0.langage: unknown key `langage`; did you mean `language`?",
        "redwhale.yaml:7: tokenizer.sample: expected a size such as 256MiB or 4GB, got 'many'",
        "redwhale.yaml:7: tokenizer.new_token: unknown key `new_token`; did you mean `new_tokens`?",
        "redwhale.yaml:12: pretrain.stages.0.learning_rate: expected a number, got '2e-4'; "
        "write the number without quotes",
    ]


@pytest.mark.promise("F27")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3", "f:3: the key 'a' stands twice in one mapping"),
        ("a: !!python/object/apply:os.system [ls]", "is not allowed"),
        ("a: &x [*x]", "an alias contains itself"),
        ("\ta: 1", "f:1: found character '\\t'"),
        ("a: {<<: {b: 1}}", "merge keys"),
        ("? [1, 2]\n: 3", "a key must be plain text"),
        ("", "the file is empty"),
        ("a: 1\nb: Null", "f:2: Null is written small or, as text, in quotes; did you mean `null`?"),
        ("a: 1\nb: " + "[" * 100_000, "f:2: brackets are nested too deeply"),
        ("a: " + "{a: " * 2000, "f:1: brackets are nested too deeply"),
        ("\n".join(" " * i + "a:" for i in range(1000)), "f:1: the file is nested too deeply"),
    ],
)
def test_yaml_attacks_and_slips_are_refused(text: str, expected: str) -> None:
    with pytest.raises(RedwhaleError) as caught:
        read_yaml(text, "f")
    assert expected in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.promise("F27")
def test_an_alias_bomb_ends_at_once() -> None:
    bomb = "x: &a0 [1,1,1,1,1,1,1,1,1,1]\n" + "\n".join(
        f"x{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)
    )
    started = time.perf_counter()
    with pytest.raises(RedwhaleError, match="unfolds to more than"):
        read_yaml(bomb, "f")
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("on", "on"), ("no", "no"), ("true", True), ("0x10", "0x10"), ("1_000", 1000), ("~", None),
     ("2B", "2B"), (".5", 0.5), ("5.", 5.0), ("1.2.3", "1.2.3"), ("", None)],
)  # fmt: skip
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_text_that_looks_like_a_constant_is_written_in_quotes() -> None:
    for word in ("Null", "TRUE", "null", "1"):
        assert flow(word) == f'"{word}"' and read_yaml(f"a: {flow(word)}", "f")[0] == {"a": word}


@pytest.mark.promise("F27")
@pytest.mark.parametrize("digits", ["9" * 5000, "1." + "9" * 5000, "1e" + "9" * 5000, "9" * 400 + "B", "1e999"])
def test_a_number_beyond_reason_is_refused_with_its_line(tmp_path: Path, digits: str) -> None:
    """Python converts no number of more than 4,300 digits."""
    text = GOOD.replace("batch_tokens: 1k", f"batch_tokens: {digits}").replace("2e-4", digits)
    tokens, rate = faults(tmp_path, text)
    assert tokens.startswith("redwhale.yaml:10: pretrain.batch_tokens: expected a size such as")
    assert rate.startswith("redwhale.yaml:12: pretrain.stages.0.learning_rate: ")


def test_set_changes_a_key_and_says_so_in_errors(tmp_path: Path) -> None:
    recipe, origins = load_with_origins(write(tmp_path, GOOD), ["pretrain.stages.0.tokens=5M", "seed=7"])
    assert recipe.pretrain.stages[0].tokens == 5_000_000
    assert recipe.seed == 7
    assert origins[("seed",)] == "--set seed=7"
    assert "tokens: 5000000  # --set pretrain.stages.0.tokens=5M" in render_resolved(recipe, origins)
    assert "sequence_length: 128  # " in render_resolved(recipe, origins)
    assert faults(tmp_path, GOOD, "pretrain.stages.4.tokens=5M") == [
        "--set: there is no 'pretrain.stages.4.tokens' to set; entries of a list go by their number from 0, as in "
        "pretrain.stages.0.tokens"
    ]
    assert faults(tmp_path, GOOD, "sed=7") == ["--set sed=7: sed: unknown key `sed`; did you mean `seed`?"]


def test_rules_across_keys(tmp_path: Path) -> None:
    assert "the stage trains nothing" in faults(tmp_path, GOOD.replace("{layers: [3, 1, 1]}", "{}"))[0]
    assert "exclude each other" in faults(tmp_path, GOOD.replace("[3, 1, 1]", "odd, lora: {rank: 2}"))[0]
    assert "below one sequence" in faults(tmp_path, GOOD.replace("1k", "100"))[0]
    text = GOOD.replace("  batch_tokens", "  mixture: {wiki: 1}\n  batch_tokens")
    assert "the mixture names wiki, which is no source" in faults(tmp_path, text)[0]
    english = "jsonl}\n    - {name: wiki, language: en, path: data/en.jsonl}"
    text = text.replace("{wiki: 1}", "{news: 0.8, wiki: 0.2}\n  mix_languages: 0.45").replace("jsonl}", english)
    assert "`mix_languages` is 0.45, the mixture of stage a gives at most 0.4" in faults(tmp_path, text)[0]
    assert load_recipe(write(tmp_path, text.replace("0.45", "40%"))).pretrain.mix_languages == 0.4
    own = text.replace("mix_languages: 0.45", "mix_languages: 0.1").replace(
        "name: a, train", "name: a, mix_languages: 0.45, train"
    )
    line = next(number for number, line in enumerate(own.splitlines(), 1) if "name: a," in line)
    assert faults(tmp_path, own)[0].startswith(f"redwhale.yaml:{line}: pretrain.stages.0.mix_languages: ")
    text = GOOD.replace("  sources:", "  existing: x\n  sources:")
    assert "give either `sources` or `existing`" in faults(tmp_path, text)[0]


@pytest.mark.parametrize(("betas", "said"), [
    ("[0.9]", "pretrain.betas: entry 2 is missing, got 1 in a list; write all of its entries"),
    ("[0.9, 2]", "pretrain.betas.1: expected less than 1.0, got 2"),
    ("[-0.1, 0.9]", "pretrain.betas.0: expected 0.0 or more, got -0.1"),
    ("[0.9, 0.9, 0.9]", "pretrain.betas: expected 2 entries at most, got 3; take some out"),
])  # fmt: skip
def test_moments_are_two_numbers_below_one(tmp_path: Path, betas: str, said: str) -> None:
    text = GOOD.replace("  batch_tokens: 1k", f"  batch_tokens: 1k\n  betas: {betas}")
    assert faults(tmp_path, text) == [f"redwhale.yaml:11: {said}"]


def test_a_source_may_be_named_by_a_number_on_the_command_line(tmp_path: Path) -> None:
    text = GOOD.replace("name: news", "name: '2024'")
    recipe = load_recipe(write(tmp_path, text), ["pretrain.mixture.2024=1"])
    assert recipe.pretrain.mixture == {"2024": 1.0}
    said = faults(tmp_path, text, "pretrain.mixture={'2025': 1}")[0]
    assert said.startswith("--set pretrain.mixture={'2025': 1}: pretrain.mixture: the mixture names 2025")
    assert "there is no 'pretrain.stages.1.name' to set" in faults(tmp_path, text, "pretrain.stages.1.name=b")[0]
    assert "there is no 'pretrain..' to set" in faults(tmp_path, text, "pretrain..=1")[0]
    own = faults(tmp_path, text, "pretrain.mixture.2024=1", "pretrain.stages.0.mixture={nope: 1}")[0]
    assert own.startswith(
        "--set pretrain.stages.0.mixture={nope: 1}: pretrain.stages.0.mixture: the mixture names nope"
    )
    assert faults(tmp_path, text, "pretrain.stages=[]")[0].endswith("expected 1 entry at least, got none; add some")
    nested = faults(tmp_path, text, "pretrain.betas.0=0.5")[0]
    assert nested.startswith("--set pretrain.betas.0=0.5: pretrain.betas: expected a list, got a mapping")


def test_a_stage_is_not_named_as_another_model(tmp_path: Path) -> None:
    for name in ('"2"', "base"):
        assert "names another model" in faults(tmp_path, GOOD.replace("name: a,", f"name: {name},"))[0]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("zero: 0, offload: optimizer", "`offload` needs `zero` 1, 2 or 3"),
        ("zero: 2, offload: all", "`offload: all` needs `zero: 3`"),
    ],
)
def test_offload_that_the_zero_level_has_not_is_refused(tmp_path: Path, words: str, reason: str) -> None:
    deepspeed = f"  deepspeed: {{{words}}}\n  stages:"
    assert reason in faults(tmp_path, GOOD.replace("  stages:", deepspeed))[0]


def test_faults_come_in_the_order_of_their_lines(tmp_path: Path) -> None:
    text = "workdir: run\nversion: 1\npretrain: {sequence_lengt: 1}\nseed: many\nname: [a]\n"
    found = faults(tmp_path, text, "machine.workers=none")
    assert [fault.split(": ")[0] for fault in found] == [
        "redwhale.yaml:3", "redwhale.yaml:3", "redwhale.yaml:4", "redwhale.yaml:5", "--set machine.workers=none",
    ]  # fmt: skip


def test_paths_with_dots_are_folded(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    write(tmp_path / "recipes", "version: 1\nworkdir: ../run\n")
    recipe = load_recipe(tmp_path / "recipes" / ".." / "recipes" / "redwhale.yaml")
    assert recipe.root == tmp_path / "run" and recipe.file == tmp_path / "recipes" / "redwhale.yaml"


def test_missing_recipe_and_missing_section(tmp_path: Path) -> None:
    with pytest.raises(RedwhaleError, match="there is no recipe here"):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(RedwhaleError, match="no section `init`"):
        load_recipe(write(tmp_path, GOOD)).need("init")


def test_stage_is_found_by_number_and_name(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, GOOD))
    assert recipe.stage_index("1") == recipe.stage_index("a") == 0
    with pytest.raises(RedwhaleError, match=r"no stage '2'.*stages: 1 \(a\)"):
        recipe.stage_index("2")


@pytest.mark.parametrize("name", presets.NAMES)
def test_presets_are_complete_and_equal_to_configs(name: str, tmp_path: Path) -> None:
    text = presets.preset_text(name)
    config = Path(__file__).parents[2] / "configs" / f"{name}.yaml"
    assert config.read_text(encoding="utf-8") == text, "run `make docs`"
    recipe = load_recipe(write(tmp_path, text))
    written, _ = read_yaml(text, name)
    for section in ("preprocess", "tokenizer", "init", "pretrain", "evaluate"):
        if getattr(recipe, section) is None:
            continue
        fields = set(type(getattr(recipe, section)).model_fields) - {"existing"}
        assert fields <= set(written[section]), section


@pytest.mark.parametrize("name", [
    "redwhale-10.8b-anneal", "eeve-10.8b-anneal", "first-last-8b", "llama-pro-8b", "24gb", "80gb", "8x80gb", "slurm",
])  # fmt: skip
def test_presets_with_an_anneal_stage_replay_and_end_at_rate_0(name: str, tmp_path: Path) -> None:
    pretrain = load_recipe(write(tmp_path, presets.preset_text(name))).need("pretrain")
    *before, anneal = pretrain.stages
    assert {stage.schedule for stage in before} <= {"constant", "warmup-stable-decay"}
    assert anneal.name == "anneal" and anneal.schedule == "warmup-stable-decay"
    assert (anneal.decay, anneal.final_learning_rate) == (1.0, 0.0)
    for mixture in (pretrain.mixture, anneal.mixture):
        assert sum(mixture.values()) == pytest.approx(1) and 0.2 <= mixture["english"] + mixture["code"] <= 0.25
    assert anneal.mixture["aihub"] > pretrain.mixture["aihub"]
    goes_on = before[-1]
    if goes_on.train == anneal.train:  # then the rate must not have fallen before the anneal
        assert goes_on.schedule == "constant" and goes_on.learning_rate == anneal.learning_rate


@pytest.mark.parametrize(("name", "tokens"), [("redwhale-10.8b", 9_700_000_000), ("eeve-10.8b", 2_000_000_000)])
def test_an_anneal_variant_reads_as_many_tokens_as_its_source(name: str, tokens: int, tmp_path: Path) -> None:
    for preset in (name, f"{name}-anneal"):
        stages = load_recipe(write(tmp_path, presets.preset_text(preset))).need("pretrain").stages
        assert sum(stage.tokens for stage in stages) == tokens


def test_new_refuses_to_overwrite(tmp_path: Path) -> None:
    presets.write_recipe("version: 1", tmp_path / "a.yaml")
    with pytest.raises(RedwhaleError, match="the file exists"):
        presets.write_recipe("version: 1", tmp_path / "a.yaml")
    with pytest.raises(RedwhaleError, match="there is no preset"):
        presets.preset_text("dmeo")
