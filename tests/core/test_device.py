"""Where models run."""

import pytest

from redwhale.core.device import choose_device
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.recipe import Recipe


def recipe(device: str) -> Recipe:
    return Recipe.model_validate({"version": 1, "workdir": "run", "machine": {"device": device}})


def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose_device(recipe("auto")).type == choose_device(recipe("cpu")).type == "cpu"
    with pytest.raises(RedwhaleError, match=r"machine\.device: no CUDA device is available") as caught:
        choose_device(recipe("cuda"))
    assert caught.value.exit_code == 2


def test_of_several_gpus_each_process_takes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert str(choose_device(recipe("auto"))) == "cuda:0"
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert str(choose_device(recipe("cuda"))) == "cuda:3"
    assert choose_device(recipe("cpu")).type == "cpu"
