"""Run the command line, also as ``python -m redwhale``, the form that launchers such as torchrun start."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import typer

from redwhale.cli import app


def main() -> NoReturn:
    """Run the command line; turn every error into one line and the right exit code."""
    from redwhale.core.errors import FAILED, INTERRUPTED, RESOURCES, USAGE, RedwhaleError

    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    code: Any = FAILED
    try:
        code = app(args=arguments, prog_name="redwhale", standalone_mode=False) or 0
    except RedwhaleError as error:
        code = _fail([str(e) for e in (error, *error.others)], error.exit_code, debug=debug)
    except (KeyboardInterrupt, typer.Abort):
        code = _fail(["interrupted; run the same command again to go on"], INTERRUPTED, debug=debug)
    except MemoryError:
        code = _fail(["main memory ran out; lower `machine.workers` or the batch"], RESOURCES, debug=debug)
    except OSError as error:
        full = error.errno == 28
        text = f"{error.filename or 'file system'}: {error.strerror or error}"
        code = _fail([f"{text}; free space and run the same command again" if full else text],
                     RESOURCES if full else FAILED, debug=debug)  # fmt: skip
    except Exception as error:
        if hasattr(error, "format_message"):  # click's usage errors
            code = _fail([error.format_message()], USAGE, debug=debug)
        else:
            code = _fail([f"{type(error).__name__}: {error}; this is a fault of redwhale, see it with --debug"],
                         FAILED, debug=debug)  # fmt: skip
    sys.exit(code)


def _fail(lines: list[str], code: int, *, debug: bool) -> int:
    from redwhale.core.console import Console

    if debug:
        import traceback

        traceback.print_exc()
    console = Console()
    for line in lines:
        console.error(" ".join(line.split()))
    return code


if __name__ == "__main__":
    main()
