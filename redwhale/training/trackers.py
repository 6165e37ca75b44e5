"""Rows of ``metrics.jsonl`` sent on to TensorBoard and W&B, as a stage's recipe asks; never part of a result."""

from __future__ import annotations

import contextlib
import math
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from redwhale.core.console import Console
from redwhale.core.errors import DONE, FAILED, USAGE, RedwhaleError
from redwhale.core.publish import write_bytes
from redwhale.core.recipe.pretrain import Pretrain
from redwhale.core.recipe.recipe import Recipe
from redwhale.training.schedule import Course

TENSORBOARD_NAME, WANDB_NAME, RUN_ID_NAME = "tensorboard", "wandb", "run-id"
_FLUSH_SECONDS = 30
_FINISH_SECONDS = 120.0  # a network that is down must not keep the next stage waiting


class Tracker:
    """One taker of rows; its first failure is warned of and ends it, never the training.

    ``send`` gets the tokens over all stages and the row's numbers, ``close`` the stage's exit code.
    """

    def __init__(
        self, name: str, send: Callable[[int, dict[str, float]], Any], close: Callable[[int], Any], *,
        tokens_before: int, console: Console,
    ) -> None:  # fmt: skip
        self._name, self._send, self._close = name, send, close
        self._tokens_before, self._console, self._failed = tokens_before, console, False

    def write(self, row: Mapping[str, Any]) -> None:
        """Send a row of a step or a measurement."""
        self._attempt(lambda: self._send(self._tokens_before + row["tokens"], numbers(row)))

    def close(self, exit_code: int) -> None:
        """Send what is left."""
        self._attempt(lambda: self._close(exit_code))

    def _attempt(self, action: Callable[[], Any]) -> None:
        if self._failed:
            return
        try:
            action()
        except Exception as error:  # whatever a library raises: hours of training are not lost over a curve
            self._failed = True
            reason = " ".join(str(error).split()) or type(error).__name__
            self._console.warn(f"{self._name} takes no more rows ({reason}); metrics.jsonl has them all")


def numbers(row: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the finite numbers of a row by their path, ``bits_per_byte/language/ko`` for one."""
    found: dict[str, float] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            found |= numbers(value, f"{prefix}{key}/")
        elif isinstance(value, (bool, int, float)) and math.isfinite(value):
            found[prefix + key] = float(value)
    return found


@contextlib.contextmanager
def opened(recipe: Recipe, index: int, *, leads: bool, console: Console) -> Iterator[list[Tracker]]:
    """Open what the recipe asks for in the folder of stage ``index``; none on processes that do not lead.

    Every taker begins empty or knows what it has: it is to be sent all rows that are kept, then the new ones.
    """
    settings: Pretrain = recipe.need("pretrain")
    found: list[Tracker] = []
    before = sum(Course.of(settings, earlier).tokens for earlier in range(index))
    code = FAILED
    try:
        if leads and settings.trackers.wandb:  # first: where it does not start, nothing is left behind
            send, close = _wandb(recipe, index, console)
            found.append(Tracker("W&B", send, close, tokens_before=before, console=console))
        if leads and settings.trackers.tensorboard:
            send, close = _tensorboard(recipe.stage_folder(index))
            found.append(Tracker("TensorBoard", send, close, tokens_before=before, console=console))
        yield found
        code = DONE
    except RedwhaleError as error:
        code = error.exit_code
        raise
    finally:
        for tracker in found:
            tracker.close(code)


Taker = tuple[Callable[[int, dict[str, float]], None], Callable[[int], None]]


def _tensorboard(folder: Path) -> Taker:
    """Begin event files anew: rows of steps that a kill has lost stand in them, or lacked when it came."""
    from torch.utils.tensorboard import SummaryWriter

    home = folder / TENSORBOARD_NAME
    shutil.rmtree(home, ignore_errors=True)
    writer = SummaryWriter(str(home), purge_step=0, flush_secs=_FLUSH_SECONDS)  # a viewer forgets the earlier file

    def send(tokens: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, tokens)

    return send, lambda exit_code: writer.close()


def _wandb(recipe: Recipe, index: int, console: Console) -> Taker:
    """Begin or resume the stage's run; raise exit code 2 where W&B does not start."""
    import wandb

    settings: Pretrain = recipe.need("pretrain")
    wanted, folder = settings.trackers.wandb, recipe.stage_folder(index)
    assert wanted is not None
    offline, kept = wanted.mode == "offline", folder / WANDB_NAME / RUN_ID_NAME
    name = kept.read_text(encoding="utf-8").strip() if kept.is_file() else secrets.token_hex(4)
    if offline:  # the new folder gets all rows, so that it alone is to be synchronised
        for old in (folder / WANDB_NAME).glob(f"offline-run-*-{name}"):
            shutil.rmtree(old)
    try:
        run = wandb.init(
            project=wanted.project, entity=wanted.entity, mode=wanted.mode, dir=str(folder), id=name,
            resume=None if offline else "allow", group=recipe.name, name=folder.name, config=_config(settings, index),
            settings=wandb.Settings(
                silent=True, console="off", disable_git=True, disable_code=True, finish_timeout=_FINISH_SECONDS,
            ),
        )  # fmt: skip
    except wandb.Error as error:
        raise RedwhaleError(
            f"W&B does not start: {' '.join(str(error).split()).rstrip('.')}", where="pretrain.trackers.wandb",
            fix="`wandb login`, or `mode: offline`", exit_code=USAGE,
        ) from error  # fmt: skip
    write_bytes(kept, f"{name}\n".encode())
    console.note(f"W&B: `wandb sync {Path(run.dir).parent}` sends the rows" if offline else f"W&B: {run.url}")

    def send(tokens: int, values: dict[str, float]) -> None:
        if tokens >= run.starting_step:  # a resumed run has the rows before; W&B never takes an earlier step
            run.log(values, step=tokens)

    return send, lambda exit_code: run.finish(exit_code=exit_code)


def _config(settings: Pretrain, index: int) -> dict[str, Any]:
    """Return what is shown beside a run: the stage and the section's settings, no paths."""
    shared = settings.model_dump(mode="json", exclude={"stages", "packed", "trackers"})
    return shared | {"stage": settings.stages[index].model_dump(mode="json")}
