"""Graphics cards as their makers state them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from redwhale.core.cgroup import allowed_memory

if TYPE_CHECKING:
    import torch

GIB = 2**30
ASSUMED_UTILISATION = 0.4
"""Share of a card's peak that training reaches, work done again counted in (issue 5 asks for 0.45 on an H100)."""
RESERVED_BYTES = int(1.2 * GIB)
"""What the driver, CUDA's context, the libraries' workspaces and fragments of the allocator keep from us (ours)."""


@dataclass(frozen=True)
class Card:
    """Memory in bytes and dense bf16 matrix operations per second with float32 sums, as the data sheet says."""

    name: str
    memory_bytes: int
    bf16_flops: float

    @property
    def usable_bytes(self) -> int:
        """Return the memory that tensors may take."""
        return self.memory_bytes - RESERVED_BYTES


# Memory as CUDA reports it, a little below the name's; TFLOP/s: NVIDIA's data sheets, dense.
CARDS = {
    card.name: card
    for card in (
        Card("rtx3090-24gb", int(23.6 * GIB), 71e12),
        Card("rtx4090-24gb", int(23.6 * GIB), 165e12),
        Card("rtx5090-32gb", int(31.4 * GIB), 209e12),
        Card("a100-40gb", int(39.4 * GIB), 312e12),
        Card("l40s-48gb", int(44.4 * GIB), 362e12),
        Card("a100-80gb", int(79.2 * GIB), 312e12),
        Card("h100-80gb", int(79.1 * GIB), 989e12),
        Card("h200-141gb", int(139.8 * GIB), 989e12),
        Card("b200-180gb", int(178.4 * GIB), 2250e12),
    )
}


def own_memory(device: torch.device) -> Card:
    """Return what a stage runs on here: the GPU, or the main memory it may use as a card of unknown speed."""
    if device.type == "cuda" and (card := own_card()):
        return card
    return Card("this machine's memory", allowed_memory(), 0.0)


def planned(device: str) -> Card | None:
    """Return what a recipe's ``machine.device`` runs on if that is here; None for a GPU where there is none."""
    import torch

    return own_memory(torch.device("cpu")) if device == "cpu" else own_card()


def own_card() -> Card | None:
    """Return this machine's first GPU, its speed that of the known card it is nearest to; None without one."""
    import torch

    if not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(0)
    words = properties.name.lower().replace(" ", "")
    known = [card for card in CARDS.values() if card.name.split("-")[0] in words]
    nearest = min(known, key=lambda card: abs(card.memory_bytes - properties.total_memory), default=None)
    return Card(properties.name, properties.total_memory, nearest.bf16_flops if nearest else 0.0)
