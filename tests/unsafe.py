"""Files that run code when they are opened the wrong way; the code leaves a file, so that it can be told."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

JINJA = (
    "{{% for made in ''.__class__.__mro__[1].__subclasses__() %}}{{% if made.__name__ == 'Popen' %}}"
    "{{{{ made(['touch', '{canary}']) }}}}{{% endif %}}{{% endfor %}}"
)
MODULE = """
from pathlib import Path
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

Path({canary!r}).touch()

class EvilConfig(PretrainedConfig):
    model_type = "evil"

class EvilModel(PreTrainedModel):
    config_class = EvilConfig

class EvilTokenizer(PreTrainedTokenizerFast):
    pass
"""
AUTO_MAP = {
    "AutoConfig": "evil.EvilConfig", "AutoModelForCausalLM": "evil.EvilModel",
    "AutoTokenizer": ["evil.EvilTokenizer", "evil.EvilTokenizer"],
}  # fmt: skip


class _Touch:
    """What, unpickled, makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def write_pickles(folder: Path, canary: Path, *names: str) -> None:
    """Write files that torch.load and pickle.load would run: torch's own form, and a bare pickle."""
    import torch

    buffer = io.BytesIO()
    torch.save({"weight": _Touch(canary)}, buffer)
    for name in names:
        bare = name.endswith((".pkl", ".pth"))
        (folder / name).write_bytes(pickle.dumps(_Touch(canary)) if bare else buffer.getvalue())


def write_code(folder: Path, canary: Path, *, config: dict[str, Any]) -> None:
    """Write a module that both configurations name, change the model's, and add a template that starts a program."""
    (folder / "evil.py").write_text(MODULE.format(canary=str(canary)))
    template = JINJA.format(canary=canary)
    (folder / "chat_template.jinja").write_text(template)
    for name, changes in (("config.json", config), ("tokenizer_config.json", {"chat_template": template})):
        content = json.loads((folder / name).read_text()) | {"auto_map": AUTO_MAP} | changes
        (folder / name).write_text(json.dumps(content))
