"""What commands show of results: tables for people, the same numbers as JSON with ``--json``."""

from __future__ import annotations

from typing import Any

from redwhale.chain import NO_STEPS, Outcome
from redwhale.core.artifact import DAMAGE, Manifest
from redwhale.core.console import Console, duration, quantity
from redwhale.corpus.waterfall import TITLE, waterfall
from redwhale.tables_evaluation import kobest_table

_GIB = 2**30
_SHOWN_CHARS = 400


def show_explained(records: list[dict[str, Any]], console: Console, *, whole: bool) -> None:
    """Show records before and after, each with its verdict; ``whole``: whole texts, and what every step says."""
    if console.result("preprocess", {"records": records}):
        return
    for record in records:
        console.data(f"{record['source']}/{record['id']}  {record['file']} row {record['row']}\n{record['verdict']}")
        for name in ("before", "after"):
            text = record[name] if whole else _beginning(record[name])
            console.data(f"--- {name}, {len(record[name])} characters\n{text}")
        if whole:
            rows = [[step[name] for name in ("step", "value", "limit", "verdict")] for step in record["steps"]]
            console.table("", ["step", "value", "limit", "verdict"], rows)
        console.data("")


def _beginning(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def show_waterfall(statistics: dict[str, Any], console: Console) -> None:
    """Show what became of the records of a trial."""
    if not console.result("preprocess", {"statistics": statistics}):
        console.table(TITLE, *waterfall(statistics))


def show_init_comparison(manifest: Manifest, console: Console) -> None:
    """Show bits per byte of every method of initialisation, by language and step, the best first."""
    rows = sorted(manifest.metrics["rows"], key=lambda row: row["steps"][max(row["steps"], key=int)]["ko"])
    steps, languages = list(rows[0]["steps"]), list(rows[0]["steps"]["0"])
    columns = ["embedding", "head", *(f"{name}\nstep {step}" for step in steps for name in languages), "leak"]
    base = ", ".join(f"{name} {value:.4f}" for name, value in manifest.metrics["base"].items())
    title = f"Bits per byte by initialisation (base: {base}; leak: probability of new rows on English)"
    console.table(title, columns, [
        [row["embedding"], row["head"], *(f"{row['steps'][step][name]:.4f}" for step in steps for name in languages),
         f"{row['leak']['mean']:.2%}"]
        for row in rows
    ])  # fmt: skip


def show_tokenizers(result: dict[str, Any], console: Console) -> None:
    """Show what tokenizers make of each text, a row a tokenizer, and what each one is."""
    if console.result("eval tokenizer", result):
        return
    languages = [source.get("language") for source in result["sources"].values()]
    pooled = {f"all {name}": body for name, body in result["languages"].items() if languages.count(name) > 1}
    bodies = result["sources"] | pooled
    if languages.count(None) > 1:
        bodies["all"] = result["all"]
    rows = []
    for place, body in bodies.items():
        for number, (name, figures) in enumerate(body["tokenizers"].items()):
            rows.append(["" if number else place, name, *_tokenizer_cells(figures)])
    columns = ["text", "tokenizer", "tokens\n/char", "ratio", "tokens\n/word", "bytes\n/token", "byte\ntokens", "Rényi",
               "kept", "exact"]  # fmt: skip
    title = f"Tokenizers (ratio to {result['reference']}; morpheme boundaries kept, token boundaries that are one)"
    console.table(title, columns, rows)
    described = []
    for name, tokenizer in result["tokenizers"].items():
        used, untouched = tokenizer["new_pieces"] or {}, tokenizer["untouched"] or {}
        speed = result["all"]["tokenizers"][name]["encode_megabytes_per_cpu_second"]
        described.append([
            name, tokenizer["vocabulary"], used.get("pieces"), used.get("never_used"),
            used.get("used_fewer_than_10_times"), untouched.get("lines_without_hangul"), untouched.get("changed"),
            _padded(speed, "6.2f"), tokenizer["library"],
        ])  # fmt: skip
    columns = ["tokenizer", "vocabulary", "new pieces", "never\nused", "under\n10 uses", "lines without\nHangul",
               "of them\nchanged", "MB per\nCPU-s", "library"]  # fmt: skip
    console.table("", columns, described)


def _tokenizer_cells(figures: dict[str, Any]) -> list[str]:
    """Return the figures of one tokenizer, shares in percent, all of a column equally wide."""
    return [
        _padded(figures["tokens_per_character"], "6.3f"),
        _padded(figures["ratio"], "5.3f"),
        _padded(figures["tokens_per_eojeol"], "6.2f"),
        _padded(figures["bytes_per_token"], "6.2f"),
        _padded(figures["byte_token_share"], "6.1%"),
        _padded(figures["renyi_efficiency"], "5.3f"),
        _padded(figures["morpheme_boundaries_kept"], "4.0%"),
        _padded(figures["morpheme_boundary_precision"], "5.0%"),
    ]


def _padded(value: float | None, form: str) -> str:
    return f"{value:{form}}" if value is not None else "-".rjust(int(form[0]))


def show_summary(outcome: Outcome, console: Console, *, command: str = "run", **more: Any) -> None:
    """Show the chain's result: bits per byte at every boundary, speed, memory, KoBEST, tokens per character."""
    manifests = outcome.manifests
    if not manifests:
        console.warn(f"nothing to do: {NO_STEPS}")
    try:
        _show_models(manifests, console)
        show_tokenizer(manifests.get("train-tokenizer"), console)
    except DAMAGE as error:  # the chain is done all the same
        console.warn(f"a table is left out: a manifest has not all that is in it ({error!r}); `report` says which")
    console.result(command, {
        "stopped": outcome.stopped, "seconds": round(outcome.seconds, 1), **more,
        "steps": {n: {"digest": m.digest, "counts": m.counts, "metrics": m.metrics} for n, m in manifests.items()},
    })  # fmt: skip


def _show_models(manifests: dict[str, Manifest], console: Console) -> None:
    """Show each model that was measured by bits per byte, its stage's speed and memory, and its KoBEST."""
    bits = {n.removeprefix("bits per byte "): m for n, m in manifests.items() if n.startswith("bits per byte ")}
    kobest = {n.removeprefix("kobest "): m for n, m in manifests.items() if m.step == "eval-kobest"}
    stages = {n.split()[1]: (n, m) for n, m in manifests.items() if n.startswith("stage ")}
    languages = list(next(iter(bits.values())).metrics["languages"]) if bits else []
    rows = []
    for model, manifest in bits.items():
        name, stage = stages.get(model, ({"0": "0 after init"}.get(model, model), None))
        measured = [manifest.metrics["languages"][language]["bits_per_byte"] for language in languages]
        timed = stage.metrics["tokens_per_second"] if stage else 0  # 0: its steps were an earlier process's
        speed = quantity(timed) if timed else "-"
        memory = f"{stage.metrics['peak_memory_bytes'] / _GIB:.2f}" if stage else "-"
        score = f"{kobest[model].metrics['mean']['macro_f1']:.4f}" if model in kobest else "-"
        rows.append([name, *measured, speed, memory, score])
    if rows:
        columns = ["model", *(f"{language} bits/byte" for language in languages), "tokens/s", "peak GiB", "KoBEST F1"]
        console.table("Bits per byte on held-out text after each step", columns, rows)
    if kobest:
        kobest_table(kobest, console)


def show_tokenizer(manifest: Manifest | None, console: Console) -> None:
    """Show tokens per character before and after, per source of held-out text and per language."""
    sources = manifest.metrics.get("sources", {}) if manifest else {}
    sums: dict[str, list[int]] = {}
    rows = []
    for name, source in sources.items():
        numbers = [source["characters"], source["base"]["tokens"], source["new"]["tokens"]]
        rows.append([name, *numbers])
        total = sums.setdefault(source["language"], [0, 0, 0])
        sums[source["language"]] = [before + more for before, more in zip(total, numbers, strict=True)]
    rows = [[f"all {language}", *total] for language, total in sums.items()] + rows
    if rows:
        console.table("Tokens per character on held-out text", ["", "base", "extended", "ratio"], [
            [name, base / characters, new / characters, new / base] for name, characters, base, new in rows
        ])  # fmt: skip


def show_demo(outcome: Outcome, console: Console, *, seconds: float, base_seconds: float) -> None:
    """Show the demo's result and how long it took, installation not counted."""
    times = {"seconds_in_all": round(seconds, 1), "base_seconds": round(base_seconds, 1)}
    show_summary(outcome, console, command="demo", **times)
    base = f"of which the English base took {duration(base_seconds)}"
    console.note(f"demo: done in {duration(seconds)} without installation, {base}")
