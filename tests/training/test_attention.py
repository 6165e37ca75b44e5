"""FlexAttention stands in for the mask: the same loss and gradients, and SDPA wherever a model is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.pretrain import Pretrain
from redwhale.core.recipe.stages import Train
from redwhale.training.attention import FLEX, own_document_blocks, own_document_mask, use_flex
from redwhale.training.engine import recompute_activations
from redwhale.training.model import StageModel, prepare
from tests.training.stages import run, stage, write_recipe

DOCUMENTS = torch.tensor([[0] * 50 + [1] * 110, [0] * 159 + [1]], dtype=torch.int32)


@pytest.fixture
def eager_flex(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """FlexAttention in plain operations on the CPU, where torch refuses to train with it (compiled it cannot)."""
    from torch.nn.attention import flex_attention

    monkeypatch.setattr(flex_attention, "_validate_device", lambda *tensors: None)
    torch.compiler.set_stance("force_eager")
    yield
    torch.compiler.set_stance("default")


def trained(module: StageModel) -> tuple[Tensor, dict[str, Tensor]]:
    """Return loss and gradients of two packed rows."""
    torch.manual_seed(0)
    ids = torch.randint(3, 400, DOCUMENTS.shape)
    positions = torch.stack([torch.cat([torch.arange(int((row == n).sum())) for n in (0, 1)]) for row in DOCUMENTS])
    module.zero_grad()
    loss = module(ids, labels=ids.roll(-1, 1), positions=positions, documents=DOCUMENTS)
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("recompute", ["none", "full"])
def test_loss_and_gradients_are_those_of_the_mask(
    tmp_path: Path, starts: Callable[..., Path], eager_flex: None, recompute: str
) -> None:
    module = prepare(starts(tmp_path) / "run" / "model-0", Train(layers="all")).module.train()
    module.requires_grad_(True)
    recompute_activations(module.model, recompute)
    expected, gradients = trained(module)
    module.model.set_attn_implementation(FLEX)
    loss, found = trained(module)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    assert found.keys() == gradients.keys() and len(found) > 30
    for name, gradient in gradients.items():
        assert float((found[name] - gradient).norm() / gradient.norm()) < 1e-4, name


def test_blocks_see_what_the_mask_sees() -> None:
    seen = own_document_mask(DOCUMENTS, dtype=torch.float32) == 0
    blocks = own_document_blocks(DOCUMENTS)
    places = torch.meshgrid(*(torch.arange(size) for size in seen.shape), indexing="ij")
    assert torch.equal(blocks.mask_mod(*places), seen)


@torch.no_grad()
def test_a_model_is_measured_by_sdpa(tmp_path: Path, starts: Callable[..., Path]) -> None:
    module = prepare(starts(tmp_path) / "run" / "model-0", Train(layers="all")).module.eval()
    module.model.set_attn_implementation(FLEX)
    used: list[str] = []
    first = module.model.get_submodule("model.layers.0")
    first.register_forward_pre_hook(lambda *_: used.append(module.model.config._attn_implementation))
    module(torch.arange(3, 20).unsqueeze(0))
    assert used == ["sdpa"] and module.model.config._attn_implementation == FLEX


def test_flex_without_cuda_or_without_documents_is_refused(tmp_path: Path, starts: Callable[..., Path]) -> None:
    recipe = write_recipe(starts(tmp_path), stage(layers="odd"), attention="flex")
    with pytest.raises(RedwhaleError, match="FlexAttention trains on CUDA alone, this stage runs on cpu") as raised:
        run(recipe)
    assert raised.value.exit_code == 2 and raised.value.fix == "set `attention: sdpa`"
    with pytest.raises(ValueError, match="`attention: flex` is for `documents_attend: own`"):
        Pretrain.model_validate({"attention": "flex", "documents_attend": "all", "stages": [stage(layers="all")]})


def test_a_model_that_has_none_is_refused() -> None:
    class Without:
        def set_attn_implementation(self, name: str) -> None:
            raise ValueError(f"Without does not support {name}")

    with pytest.raises(RedwhaleError, match="the model has no FlexAttention") as raised:
        use_flex(Without(), device="cuda", where="models/x")
    assert raised.value.exit_code == 2
