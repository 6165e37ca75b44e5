"""Numbers that belong to a token, and rows that would be equal."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from redwhale.weights.methods.noise import TIE_NOISE, break_ties, normals

KEY = (1234, "embedding", "ties")


def test_numbers_depend_on_the_piece_and_the_key_alone() -> None:
    both = normals(["가", "나"], 5, key=KEY)
    assert np.array_equal(normals(["나", "다", "가"], 5, key=KEY)[[2, 0]], both)
    assert not np.array_equal(normals(["가"], 5, key=(1235, *KEY[1:])), both[:1])
    assert not np.array_equal(normals(["가"], 5, key=(1234, "head", "ties")), both[:1])
    many = normals([str(i) for i in range(200)], 500, key=KEY)
    assert abs(many.mean()) < 0.02 and many.std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_only_tied_rows_get_noise_and_no_two_stay_equal(dtype: torch.dtype) -> None:
    rows = torch.randn(6, 64, generator=torch.Generator().manual_seed(0)).to(dtype).float()
    rows[4], rows[5] = rows[1], rows[1]
    pieces = list("가나다라마바")
    broken, count = break_ties(rows, pieces, dtype=dtype, key=KEY)
    assert count == 3
    assert torch.equal(broken[[0, 2, 3]], rows[[0, 2, 3]])
    assert len({tuple(row) for row in broken.to(dtype).tolist()}) == 6
    noise = (broken - rows)[[1, 4, 5]]
    assert noise.std(dim=1).tolist() == pytest.approx([TIE_NOISE * float(rows[1].std(correction=0))] * 3, rel=0.3)


def test_rows_equal_only_once_they_are_stored_are_tied_too() -> None:
    rows = torch.ones(2, 64) + torch.arange(64)
    rows[1] += 1e-5
    assert break_ties(rows, ["가", "나"], dtype=torch.float32, key=KEY)[1] == 0
    assert break_ties(rows, ["가", "나"], dtype=torch.bfloat16, key=KEY)[1] == 2


def test_noise_does_not_depend_on_other_tokens_or_their_order() -> None:
    rows = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    rows[3] = rows[0]
    broken, _ = break_ties(rows, list("가나다라"), dtype=torch.float32, key=KEY)
    turned, _ = break_ties(rows.flip(0), list("라다나가"), dtype=torch.float32, key=KEY)
    assert torch.equal(turned.flip(0), broken)
    fewer, _ = break_ties(rows[[0, 3]], list("가라"), dtype=torch.float32, key=KEY)
    assert torch.equal(fewer, broken[[0, 3]])


def test_rows_do_not_depend_on_the_number_of_threads() -> None:
    program = (
        "import sys, hashlib, torch; torch.set_num_threads(int(sys.argv[1]))\n"
        "from redwhale.weights.methods.noise import normals\n"
        "from redwhale.weights.methods.statistics import multivariate_rows, normal_rows\n"
        "base = torch.randn(3000, 96, generator=torch.Generator().manual_seed(0))\n"
        "draw = lambda start, stop: normals([str(i) for i in range(start, stop)], 96, key=(1, 'head', 'x'))\n"
        "rows = [normal_rows(base, 50, draw), multivariate_rows(base, 50, draw)]\n"
        "print([hashlib.sha256(r.numpy().tobytes()).hexdigest() for r in rows])"
    )
    outputs = [
        subprocess.run([sys.executable, "-c", program, threads], capture_output=True, text=True, check=True,
                       env={"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PATH": ""}).stdout
        for threads in ("1", "2")
    ]  # fmt: skip
    assert outputs[0] == outputs[1] and len(outputs[0]) > 128
