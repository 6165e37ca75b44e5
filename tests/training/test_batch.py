"""Every sequence of a step is used once, however it is cut; attention stays within documents."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.stages import Train
from redwhale.training.attention import own_document_mask, refuse_narrow_window
from redwhale.training.batch import Batch, Batcher
from redwhale.training.model import StageModel, prepare
from redwhale.training.sequences import Sequence
from tests.training import stages


def sequence(index: int) -> Sequence:
    ids = np.full(4, index, dtype=np.int64)
    return Sequence(ids, ids + 100, np.array([0, 0, 1, 1], dtype=np.int32), np.array([0, 1, 0, 1]), "news")


@pytest.mark.parametrize(("world", "micro_batch"), [(1, 1), (1, 3), (2, 2), (3, 2), (4, 1), (10, 4)])
def test_processes_and_micro_batches_share_a_step(world: int, micro_batch: int) -> None:
    seen: list[int] = []
    counts = set()
    for rank in range(world):
        batches = Batcher(sequence, 7, micro_batch, own_documents=True, rank=rank, world=world).step(2)
        counts.add(len(batches))
        for batch in batches:
            assert len(batch.labels) <= micro_batch
            counted = (batch.labels != -100).all(dim=1)
            seen += batch.input_ids[counted, 0].tolist()
            assert batch.valid_tokens == 4 * int(counted.sum())
    assert sorted(seen) == list(range(14, 21))
    assert len(counts) == 1  # collective operations need as many on every process


def test_documents_attend_all_counts_positions_through_and_masks_nothing() -> None:
    own = Batcher(sequence, 1, 1, own_documents=True).step(0)[0]
    all_ = Batcher(sequence, 1, 1, own_documents=False).step(0)[0]
    assert own.positions.tolist() == [[0, 1, 0, 1]]
    assert all_.positions.tolist() == [[0, 1, 2, 3]]
    assert own.documents is not None and all_.documents is None


def test_mask_by_hand() -> None:
    mask = own_document_mask(torch.tensor([[0, 0, 1]]), dtype=torch.bfloat16)
    assert mask.shape == (1, 1, 3, 3)
    assert mask.dtype == torch.bfloat16
    assert (mask[0, 0] == 0).tolist() == [[True, False, False], [True, True, False], [False, False, True]]
    assert set(mask.flatten().tolist()) == {0.0, float("-inf")}


def logits_of(module: StageModel, batch: Batch) -> torch.Tensor:
    """Return the logits that the loss is made of."""
    mask = None if batch.documents is None else own_document_mask(batch.documents, dtype=torch.float32)
    hidden = module.model.base_model(
        input_ids=batch.input_ids, attention_mask=mask, position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    return module.model.get_submodule(module.head_name)(hidden)


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> StageModel:
    root = stages.make_start(tmp_path_factory.mktemp("start"))
    return prepare(root / "run" / "model-0", Train(layers="all")).module.eval()


@torch.no_grad()
def test_a_document_does_not_see_its_neighbour(module: StageModel) -> None:
    torch.manual_seed(0)
    ids = torch.randint(3, 400, (1, 24))
    documents = torch.tensor([[0] * 10 + [1] * 14], dtype=torch.int32)
    positions = torch.cat([torch.arange(10), torch.arange(14)]).unsqueeze(0)
    labels = ids.roll(-1, dims=1)
    changed = ids.clone()
    changed[0, :10] = torch.randint(3, 400, (10,))
    before, after = (logits_of(module, Batch(i, labels, positions, documents)) for i in (ids, changed))
    assert torch.equal(before[0, 10:], after[0, 10:])
    assert not torch.allclose(before[0, :10], after[0, :10])
    alone = module.model(input_ids=ids[:, 10:], use_cache=False).logits
    torch.testing.assert_close(before[0, 10:], alone[0])
    leaking = [logits_of(module, Batch(i, labels, torch.arange(24).unsqueeze(0), None)) for i in (ids, changed)]
    assert not torch.allclose(leaking[0][0, 10:], leaking[1][0, 10:])  # `all` does see it


def test_a_window_narrower_than_the_sequence_is_refused() -> None:
    refuse_narrow_window(None, 4096, where="m")
    refuse_narrow_window(4096, 4096, where="m")
    with pytest.raises(RedwhaleError, match="window of 1024"):
        refuse_narrow_window(1024, 4096, where="m")
