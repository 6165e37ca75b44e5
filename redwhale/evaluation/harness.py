"""The ``eval harness`` step: tasks of lm-evaluation-harness, scored with a model of the recipe."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import logging
import os
import random
import re
import sys
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from redwhale.core.artifact import Input, Manifest, hash_json, is_finished
from redwhale.core.console import Console, Progress
from redwhale.core.device import choose_device
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.evaluate import Harness as Settings
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce
from redwhale.evaluation import targets
from redwhale.evaluation.harness_results import publish
from redwhale.measure import models

STEP, ALGORITHM = "eval-harness", 1
KEY = "evaluate.harness.tasks"
# Those of the harness's own command; another seed draws other examples.
SEEDS = {"random": 0, "numpy": 1234, "torch": 1234, "examples": 1234}
# The harness draws 100,000, which takes minutes for F1; the errors differ by 2 %.
BOOTSTRAP_DRAWS = 1000
# Tasks were loaded in another way before; data sets could bring a script that is run.
_OLDEST = {"lm_eval": (0, 4, 13), "datasets": (4,)}
# No metrics' scripts from the hub, no forks of a process that holds a model.
_ENVIRONMENT = {"HF_EVALUATE_OFFLINE": "1", "DISABLE_MULTIPROC": "1"}
_FOLDER_CHARS = 60
_one_line = partial(textwrap.shorten, width=300, placeholder="…")


def result_folder(recipe: Recipe, model: str) -> Path:
    """Return where a model's scores on the recipe's tasks stand; the name tells tasks, shots and limit apart."""
    settings = _settings(recipe)
    tasks = _in_order(settings)
    words = "+".join(tasks)
    if len(words) > _FOLDER_CHARS or not all(re.fullmatch(r"[\w.-]+", task, re.ASCII) for task in tasks):
        words = f"{len(tasks)}-tasks-{hash_json(tasks)[:8]}"
    words += "" if settings.shots is None else f"-{settings.shots}-shot"
    words += "" if settings.limit is None else f"-first-{settings.limit}"
    return targets.result_folder(recipe, model, f"harness-{words}")


def plan(recipe: Recipe, model: str) -> Plan:
    """Return what ``eval harness`` reads and writes for ``model``; a hub base must be fetched already.

    Of the data, only what is in the `include` folder is an input: the digest of all prompts is in the result.
    """
    settings = _settings(recipe)
    folder = _include(recipe, settings)
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))} if folder else {}
    own = {n: p for n, p in files.items() if p.is_file() and not re.search(r"(^|/)(\.|__pycache__/)", n)}
    return Plan(
        step=STEP, command=recipe.command("eval", "harness", "--model", model), folder=result_folder(recipe, model),
        inputs=(*targets.find_target(recipe, model).inputs(), *(Input(f"task file {n}", p) for n, p in own.items())),
        fields={"tasks": _in_order(settings), **settings.model_dump(mode="json", include={"shots", "limit", "dtype"})},
        algorithm=ALGORITHM,
    )  # fmt: skip


def run(recipe: Recipe, model: str, *, console: Console, fresh: bool = False, verify: bool = False) -> Manifest:
    """Score a model on the recipe's tasks, or say that it is done; raises exit code 2 without the extra `lm-eval`."""
    settings = _settings(recipe)
    is_needed = fresh or not is_finished(result_folder(recipe, model))
    if is_needed:
        need_package()
    target = targets.find_target(recipe, model, fetch=is_needed)
    steps = plan(recipe, model)

    def build() -> Built:
        # Before the weights: a slip in a name or a missing data set shows in seconds.
        loaded = load_tasks(settings, include=_include(recipe, settings), console=console)
        model = models.load_model(target.folder, choose_device(recipe), dtype=settings.dtype)
        tokenizer = targets.load_default_tokenizer(target.folder)
        with models.explain_out_of_memory("lower `evaluate.harness.batch`"):
            results = score_tasks(model, tokenizer, loaded, settings=settings, console=console)
        return publish(steps.folder, describe_protocol(results, settings, model=model, tokenizer=tokenizer), results)

    return produce(steps, build, console=console, fresh=fresh, verify=verify)


def need_package() -> None:
    """Raise exit code 2 where lm-evaluation-harness is not installed, or it or its `datasets` is too old."""
    fix = "pip install 'redwhale[lm-eval]'"
    if importlib.util.find_spec("lm_eval") is None:
        raise RedwhaleError("lm-evaluation-harness is not installed", where=KEY, fix=fix, exit_code=USAGE)
    for package, oldest in _OLDEST.items():
        found = importlib.metadata.version(package)
        if tuple(int(part) for part in re.findall(r"\d+", found)[:3]) < oldest:
            fix = f"{fix} '{package}>={'.'.join(map(str, oldest))}'"
            raise RedwhaleError(f"{package} {found} is too old", where=KEY, fix=fix, exit_code=USAGE)


def load_tasks(settings: Settings, *, include: Path | None, console: Console) -> dict[str, dict[str, Any]]:
    """Load tasks with their data: ``tasks`` and ``groups`` by name, as the harness takes them, with the recipe's shots.

    Paths in the files of ``include`` are relative to it. Raises exit code 2 naming the task that is unknown
    or lacks its data.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    loaded: dict[str, dict[str, Any]] = {"tasks": {}, "groups": {}}
    console.note(f"harness: loading {', '.join(_in_order(settings))}")
    with _quiet(console), contextlib.chdir(include or Path.cwd()):
        manager = _find_tasks(_in_order(settings), include)
        for name in _in_order(settings):
            try:
                found = manager.load([name])
            except Exception as error:  # data sets, task files and the Python in them raise whatever they like
                raise _unloadable(name, error) from error
            loaded["tasks"] |= found["tasks"]
            loaded["groups"] |= found["groups"]
    _set_shots(loaded["tasks"], settings.shots, console)
    return loaded


def _find_tasks(wanted: list[str], include: Path | None) -> Any:
    """Return the harness's index of tasks; raise where a name is not in it."""
    from lm_eval.tasks import TaskManager

    if include:
        # Indexing the harness's own files takes 20 s, and only groups may name tasks of other folders.
        manager = TaskManager(include_path=str(include), include_defaults=False)
        if set(wanted) <= set(manager.all_subtasks):
            return manager
    manager = TaskManager(include_path=str(include) if include else None)
    if unknown := [name for name in wanted if name not in manager.all_tasks]:
        from difflib import get_close_matches

        near = [n for name in unknown for n in get_close_matches(name, manager.all_tasks, n=4)]
        fix = f"near: {', '.join(near)}" if near else "`lm-eval ls tasks` lists them"
        what = f"lm-evaluation-harness has no task {', '.join(map(repr, unknown))}"
        what += ", nor has the `include` folder a readable file for it" if include else ""
        raise RedwhaleError(what, where=KEY, fix=fix, exit_code=USAGE)
    return manager


def _unloadable(name: str, error: Exception) -> RedwhaleError:
    from datasets.exceptions import DatasetsError

    # `datasets` says why in the cause where it fails to read a file.
    reason = error.__cause__ if isinstance(error, DatasetsError) and error.__cause__ else error
    what, fix = f"the task {name} cannot be loaded", "mend its file, or leave it out"
    if isinstance(error, (OSError, DatasetsError)):
        what = f"the data of the task {name} cannot be fetched or read"
        fix = "check the connection, or let a task file in `evaluate.harness.include` read local data (`data_files`)"
    what = f"{what} ({_one_line(f'{type(reason).__name__}: {reason}')})"
    return RedwhaleError(what, where=KEY, fix=fix, exit_code=USAGE)


def _set_shots(tasks: dict[str, Any], shots: int | None, console: Console) -> None:
    """Set the examples before each question by the harness's rule: a task whose file says 0 keeps that."""
    fixed = [name for name, task in tasks.items() if shots and task.get_config("num_fewshot") == 0]
    for name, task in tasks.items():
        if name not in fixed and (shots is not None or task.get_config("num_fewshot") is None):
            task.set_config(key="num_fewshot", value=shots or 0)
        task.set_fewshot_seed(seed=SEEDS["examples"])
    if fixed:
        console.warn(f"asked without examples, as their files have it: {_one_line(', '.join(fixed))}")


def score_tasks(
    model: Any, tokenizer: Any, loaded: dict[str, dict[str, Any]], *, settings: Settings, console: Console
) -> dict[str, Any]:
    """Return the harness's own results, every question's among them; its log-softmax is taken in float32."""
    import numpy as np
    import torch
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM

    random.seed(SEEDS["random"])
    np.random.seed(SEEDS["numpy"])
    torch.manual_seed(SEEDS["torch"])
    with contextlib.ExitStack() as stack:
        answers = _Answers(loaded["tasks"], console, stack)
        stack.enter_context(_quiet(console))
        lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=settings.batch, softmax_dtype="float32")
        lm.set_cache_hook(answers)
        try:
            return evaluate(lm, loaded, limit=settings.limit, bootstrap_iters=BOOTSTRAP_DRAWS)
        except (AssertionError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            what = f"the harness cannot score these tasks ({_one_line(f'{type(error).__name__}: {error}')})"
            raise RedwhaleError(what, where=KEY, fix="leave the task out; --debug shows more") from error


class _Answers:
    """Stands in for the harness's cache of answers, which hears of every one: that is progress."""

    def __init__(self, tasks: dict[str, Any], console: Console, stack: contextlib.ExitStack) -> None:
        self._tasks, self._console, self._stack, self._stderr = tasks, console, stack, sys.stderr
        self._progress: Progress | None = None

    def add_partial(self, kind: str, request: Any, answer: Any) -> None:
        """Count an answer; all requests are known when the first comes."""
        with contextlib.redirect_stderr(self._stderr):
            if self._progress is None:
                total = sum(instance.repeats for task in self._tasks.values() for instance in task.instances)
                self._progress = self._stack.enter_context(self._console.progress("harness", total, "requests"))
            self._progress.advance()


@contextlib.contextmanager
def _quiet(console: Console) -> Iterator[None]:
    """Drop what the harness prints and its bars; say its warnings at the end, those of one line of its code once."""
    heard: dict[tuple[str, int], list[str]] = {}

    def hear(record: logging.LogRecord) -> bool:
        if "`pretrained`" not in record.getMessage():  # that it is a model, as is meant
            heard.setdefault((record.pathname, record.lineno), []).append(_one_line(record.getMessage()))
        return False

    logger, handler = logging.getLogger("lm_eval"), logging.Handler(logging.WARNING)
    handler.addFilter(hear)
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        with Path(os.devnull).open("w") as sink, contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
            yield
    finally:
        logger.propagate = before
        logger.removeHandler(handler)
        for first, *others in heard.values():
            console.warn(f"lm-evaluation-harness: {first}" + (f" (and {len(others)} like it)" if others else ""))


def describe_protocol(results: dict[str, Any], settings: Settings, *, model: Any, tokenizer: Any) -> dict[str, Any]:
    """Return everything a score depends on besides the model: two scores compare only where this is equal."""
    from redwhale.evaluation.kobest.score import adds_bos

    tasks = results["samples"]
    prompts = [[task, item["doc_id"], item["prompt_hash"]] for task, items in tasks.items() for item in items]
    return {
        "lm_eval": importlib.metadata.version("lm_eval"), "tasks": _in_order(settings),
        "versions": {task: str(results["versions"][task]) for task in tasks},
        "shots": {task: results["n-shot"][task] for task in tasks}, "limit": settings.limit,
        "prompt_set_sha256": hash_json(prompts), "seeds": SEEDS, "bootstrap_draws": BOOTSTRAP_DRAWS,
        "adds_bos": adds_bos(tokenizer), "context_tokens": models.context_of(model),
        "weights_dtype": models.dtype_of(model), "softmax_dtype": "float32",
    }  # fmt: skip


def _settings(recipe: Recipe) -> Settings:
    settings: Settings = recipe.need("evaluate").harness
    if not settings.tasks:
        raise RedwhaleError(
            "no task of lm-evaluation-harness is named", where=f"{recipe.file}: {KEY}",
            fix=f"set `{KEY}`, or name them with `--tasks`", exit_code=USAGE,
        )  # fmt: skip
    return settings


def _in_order(settings: Settings) -> list[str]:
    """Return the tasks in the order they are run in, whatever order they are named in: it may change a draw."""
    return sorted(set(settings.tasks))


def _include(recipe: Recipe, settings: Settings) -> Path | None:
    folder = recipe.path(settings.include) if settings.include else None
    if folder and not folder.is_dir():
        raise RedwhaleError(
            "there is no such folder of task files", where=f"{recipe.file}: evaluate.harness.include: {folder}",
            fix="mend the path, which is taken from the recipe's folder", exit_code=USAGE,
        )  # fmt: skip
    return folder
