"""What the server of ``tests.forked`` has in memory: libraries, and the kernels that each stage would load again."""

import contextlib
import io
import os

os.environ.setdefault("DS_ACCELERATOR", "cpu")
import accelerate
import numpy as np
import peft
import torch
import transformers
from transformers.models.llama import modeling_llama

from redwhale import chain, cli
from redwhale.training import best_fit, packing, stage
from redwhale.weights import step

with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    import deepspeed

best_fit.fill(np.array([0, 3, 9]), sequence_length=4)

__all__ = [
    "accelerate", "chain", "cli", "deepspeed", "modeling_llama", "packing", "peft", "stage", "step", "torch",
    "transformers",
]  # fmt: skip
