"""Generated files are what `make docs` writes."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_generated_files_are_current() -> None:
    spec = importlib.util.spec_from_file_location("write_docs", ROOT / "scripts" / "write_docs.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stale = [path for path, text in module.generated().items() if (ROOT / path).read_text(encoding="utf-8") != text]
    assert stale == [], "run `make docs`"
