"""Where models run."""

import pytest

from redwhale.core.device import check_devices, choose_device
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.recipe import Recipe


def recipe(device: str, *, devices: int = 1) -> Recipe:
    machine = {"device": device, "devices": devices}
    return Recipe.model_validate({"version": 1, "workdir": "run", "machine": machine})


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


def test_more_gpus_than_there_are_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_devices(recipe("cpu", devices=8))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    check_devices(recipe("auto", devices=2))
    with pytest.raises(RedwhaleError, match=r"machine\.devices: 3 GPUs are asked for, this machine has 2") as caught:
        check_devices(recipe("cuda", devices=3))
    assert caught.value.exit_code == 2 and caught.value.fix == "set it to at most 2"
