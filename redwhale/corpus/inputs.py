"""What the step reads besides its settings: sources, benchmarks, models, indices of earlier corpora."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from redwhale.core.artifact import Input
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.corpus import Preprocess
from redwhale.core.recipe.decontaminate import KOBEST, Benchmark
from redwhale.core.recipe.recipe import Recipe
from redwhale.corpus.read.sources import source_files


def inputs_of(recipe: Recipe, section: Preprocess) -> Iterator[Input]:
    """Yield every file that the step reads; raise exit code 2 where one is missing."""
    for index, source in enumerate(section.sources):
        for file in source_files(recipe, source, index):
            if file.is_local:
                yield Input(f"source:{source.name}/{file.name}", file.path)
    from redwhale.corpus.decontaminate.benchmarks import benchmark_files

    for benchmark in section.decontaminate.benchmarks if section.decontaminate else []:
        path = benchmark_path(recipe, benchmark)
        for path_of_file in benchmark_files(benchmark, path):
            yield Input(f"benchmark:{benchmark.name}/{_short_name(path_of_file, path)}", path_of_file)
    for path in reference_files(recipe, section):
        yield Input(f"perplexity reference:{path.name}", path)
    perplexity = section.perplexity
    if perplexity and perplexity.model and perplexity.pieces:
        yield Input("perplexity model", recipe.path(perplexity.model))
        yield Input("perplexity pieces", recipe.path(perplexity.pieces))
    for model in language_models(recipe, section):
        yield Input(f"language model:{model.name}", model)
    for name, folder in index_folders(recipe, section):
        for path in sorted(folder.iterdir()) if folder.is_dir() else [folder / "index.json"]:
            yield Input(f"index:{name}/{path.name}", path)


def remote_digests(recipe: Recipe, section: Preprocess) -> dict[str, str]:
    """Return what stands for the content of each source file that is not on this machine, by name."""
    from redwhale.corpus.read.remote import remote_digest

    return {
        f"{source.name}/{file.name}": remote_digest(file)
        for index, source in enumerate(section.sources)
        for file in source_files(recipe, source, index)
        if not file.is_local
    }


def benchmark_path(recipe: Recipe, benchmark: Benchmark) -> Path | None:
    """Return where a benchmark lies: its `path`, for KoBEST also the folder that `evaluate` reads."""
    if benchmark.path is not None:
        return recipe.path(benchmark.path)
    if benchmark.name == KOBEST and recipe.evaluate and recipe.evaluate.kobest:
        return recipe.path(recipe.evaluate.kobest.data)
    return None


def reference_files(recipe: Recipe, section: Preprocess) -> list[Path]:
    """Return the files of the perplexity reference, by name; raise exit code 2 where the pattern matches none."""
    if section.perplexity is None or section.perplexity.reference is None:
        return []
    pattern = recipe.path(section.perplexity.reference)
    found = [pattern] if pattern.is_file() else sorted(pattern.parent.glob(pattern.name))
    if not found:
        raise RedwhaleError(
            f"no file matches {section.perplexity.reference!r}",
            where=f"{recipe.file}: preprocess.perplexity.reference",
            fix="mend the path; it is relative to the recipe",
            exit_code=USAGE,
        )
    return found


def language_models(recipe: Recipe, section: Preprocess) -> list[Path]:
    """Return the language models that filters name, each once, by place."""
    all_filters = [section.filters, *(source.filters for source in section.sources)]
    named = {filters.language_model for filters in all_filters if filters}
    return sorted(recipe.path(model) for model in named if model)


def index_folders(recipe: Recipe, section: Preprocess) -> list[tuple[str, Path]]:
    """Return the name, as the recipe writes it, and the folder of each index to compare with."""
    return [(written, recipe.path(written)) for written in section.deduplicate.against]


def _short_name(path: Path, root: Path | None) -> str:
    return path.relative_to(root).as_posix() if root and path.is_relative_to(root) and path != root else path.name
