"""Build the wheel and the source archive with the hatchling that is installed: no environment is made, no network used.

python scripts/build_wheel.py OUT
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from hatchling import build

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write both to OUT and print their paths."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)  # where a build backend is called
    print(out / build.build_sdist(str(out)))
    print(out / build.build_wheel(str(out)))


if __name__ == "__main__":
    main()
