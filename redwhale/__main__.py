"""Run the command line, also as ``python -m redwhale``, the form that launchers such as torchrun start."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import typer

from redwhale.cli import app


def main() -> NoReturn:
    """Run the command line; turn every error into one line and the right exit code."""
    from redwhale.core.errors import FAILED, INTERRUPTED, USAGE, RedwhaleError

    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    debug, json = len(arguments) < len(sys.argv) - 1, "--json" in arguments
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    code: Any = FAILED
    try:
        code = app(args=arguments, prog_name="redwhale", standalone_mode=False) or 0
        if code == INTERRUPTED:  # typer has turned Ctrl-C into it
            code = _fail([_INTERRUPTED], INTERRUPTED, debug=False, json=json)
    except RedwhaleError as error:
        code = _fail([str(e) for e in (error, *error.others)], error.exit_code, debug=debug, json=json)
    except (KeyboardInterrupt, typer.Abort):
        code = _fail([_INTERRUPTED], INTERRUPTED, debug=debug, json=json)
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # a bare `redwhale`: its message is the whole help
            print(error.format_message(), file=sys.stderr)  # type: ignore[attr-defined]
            sys.exit(USAGE)
        text, code = _explain(error)
        code = _fail([text], code, debug=debug, json=json)
    sys.exit(code)


_INTERRUPTED = "interrupted; run the same command again to go on"
_NO_SPACE = 28
_STDOUT = 1


def _explain(error: Exception) -> tuple[str, int]:
    """Return the line and the exit code for an error that is not ours; libraries word theirs in their own ways."""
    from redwhale.core.errors import FAILED, RESOURCES, USAGE

    text, kind = str(error), type(error).__name__
    if getattr(error, "errno", None) == _NO_SPACE or "No space left on device" in text:
        place = getattr(error, "filename", None)
        return f"{f'{place}: ' if place else ''}the disk is full; free space and run the same command again", RESOURCES
    if isinstance(error, MemoryError):
        return "main memory ran out; lower `machine.workers` or the batch", RESOURCES
    if kind == "OutOfMemoryError" or "can't allocate memory" in text:
        cures = "`pretrain.recompute: full`, `pretrain.deepspeed.zero: 3` or `pretrain.deepspeed.offload: optimizer`"
        fix = f"lower `pretrain.micro_batch` or set {cures}, and run the same command again"
        return f"memory ran out; {fix}", RESOURCES
    if isinstance(error, OSError):
        return f"{error.filename or 'file system'}: {error.strerror or error}", FAILED
    if hasattr(error, "format_message"):  # click's usage errors
        return error.format_message(), USAGE
    return f"{kind}: {error}; this is a fault of redwhale, see it with --debug", FAILED


def _fail(lines: list[str], code: int, *, debug: bool, json: bool) -> int:
    """Say what failed, a line each on stderr; with ``--json`` also as the one document on stdout."""
    from redwhale.core.console import Console, keep_stdout_for_data, redact
    from redwhale.training.layout import rank

    if debug:
        import traceback

        print(redact(traceback.format_exc()), file=sys.stderr, end="")
    lines = [redact(" ".join(line.split())) for line in lines]
    sys.stdout = sys.__stdout__  # a command sends what libraries print elsewhere
    console = Console(json_output=json and rank() == 0)
    for line in lines:
        console.error(line)
    keep_stdout_for_data()
    try:
        console.errors(lines, code)
    except OSError:  # nobody reads it, or there is no room: what is left in the buffer must not fail once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), _STDOUT)
    return code


if __name__ == "__main__":
    main()
