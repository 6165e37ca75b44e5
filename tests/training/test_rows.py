"""Rows in blocks give what one matrix gives, and each block its own gradient."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from redwhale.core.errors import RedwhaleError
from redwhale.training.rows import BlockEmbedding, BlockHead, RowLayout, cut_blocks

LAYOUT = RowLayout(first_new_row=6, new_rows=3, padding_rows=2, tied=False)


def make_matrix() -> nn.Parameter:
    torch.manual_seed(0)
    return nn.Parameter(torch.randn(LAYOUT.rows, 4))


def test_blocks_by_hand() -> None:
    blocks = cut_blocks(make_matrix(), LAYOUT, "new")
    assert {name: len(block) for name, block in blocks.items()} == {"old": 6, "new": 3, "padding": 2}
    assert list(cut_blocks(make_matrix(), LAYOUT, "all")) == ["weight"]
    assert list(cut_blocks(make_matrix(), RowLayout(0, 11, 0, False), "new")) == ["new"]


def test_lookup_and_its_gradient_are_those_of_one_matrix() -> None:
    matrix = make_matrix()
    ids = torch.tensor([[0, 5, 6, 6], [8, 9, 10, 2]])
    embedding = BlockEmbedding(cut_blocks(matrix, LAYOUT, "new"), dtype=torch.float32)
    embedding.new.requires_grad_(True)
    out = embedding(ids)
    torch.testing.assert_close(out, functional.embedding(ids, matrix), rtol=0, atol=0)
    target = torch.randn_like(out)
    (out * target).sum().backward()
    expected = torch.autograd.grad((functional.embedding(ids, matrix) * target).sum(), matrix)[0]
    torch.testing.assert_close(embedding.new.grad, expected[6:9])
    assert embedding.old.grad is None and embedding.padding.grad is None


def test_head_gives_the_logits_of_one_matrix_and_a_tied_row_both_gradients() -> None:
    matrix = make_matrix()
    blocks = cut_blocks(matrix, LAYOUT, "new")
    embedding, head = BlockEmbedding(blocks, dtype=torch.float32), BlockHead(blocks)
    assert embedding.new is head.new
    embedding.new.requires_grad_(True)
    ids, labels = torch.tensor([[7, 1, 8]]), torch.tensor([[6, 8, -100]])
    hidden = embedding(ids)
    torch.testing.assert_close(head(hidden), hidden @ matrix.t())
    head(hidden, labels).backward()
    whole = functional.embedding(ids, matrix)
    loss = functional.cross_entropy((whole @ matrix.t())[0], labels[0], ignore_index=-100, reduction="sum")
    expected = torch.autograd.grad(loss, matrix)[0]
    torch.testing.assert_close(head.new.grad, expected[6:9])


def test_a_float32_block_under_bf16_layers_comes_out_in_bf16() -> None:
    embedding = BlockEmbedding(cut_blocks(make_matrix(), LAYOUT, "new"), dtype=torch.bfloat16)
    assert embedding(torch.tensor([[0, 6]])).dtype == torch.bfloat16


def test_a_model_that_does_not_say_which_rows_are_new(tmp_path: Path) -> None:
    with pytest.raises(RedwhaleError, match="which rows are new") as caught:
        RowLayout.read(tmp_path)
    assert caught.value.exit_code == 2
