"""Packages, network, clusters, and what a recipe asks for."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from redwhale.core.recipe.load import load_recipe
from redwhale.core.recipe.presets import preset_text
from redwhale.doctor import cluster, network
from redwhale.doctor.finding import Finding, attempt
from redwhale.doctor.needs import Needs, needs_of
from redwhale.doctor.network import judge_login, offline_by, reach_hub
from redwhale.doctor.probe import ask, read_answers
from redwhale.doctor.python import out_of_range, requirements
from tests.workspace import make_workspace

LINES = ["torch<3,>=2.9", "numpy<3,>=2.0", 'bitsandbytes>=0.50; extra == "gpu"', 'tomli>=2; python_version < "3.0"']
NEEDS = Needs(Path("/somewhere"))


def test_packages_are_held_against_their_ranges() -> None:
    wanted = requirements(LINES, ())
    assert [each.name for each in wanted] == ["torch", "numpy"]
    assert [each.name for each in requirements(LINES, ("gpu",))] == ["torch", "numpy", "bitsandbytes"]
    assert out_of_range(wanted, {"torch": "2.13.0+cpu", "numpy": "2.4.0rc1"}) == []
    assert out_of_range(wanted, {"torch": "2.8.1", "numpy": None}) == [(wanted[0], "2.8.1"), (wanted[1], None)]


def test_a_check_that_fails_itself_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Finding:
        raise RuntimeError("several\nlines")

    found = attempt("gpu", broken)
    assert (found.name, found.state) == ("gpu", "warn")
    assert found.found == "could not be checked (RuntimeError: several lines)"
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh0123")
    leaks = attempt(
        "network", lambda: Finding("network", "warn", "no way through http://me:geheim@proxy, hf_abcdefgh0123")
    )
    assert leaks.found == "no way through http://[redacted]@proxy, [redacted]"
    assert attempt("x", lambda: Finding("x", "ok", "", "HF_HUB_OFFLINE=1")).fix == "HF_HUB_OFFLINE=1"


def test_offline_is_a_choice_and_no_network_never_fails() -> None:
    assert offline_by({"HF_HUB_OFFLINE": "1"}) == "HF_HUB_OFFLINE" and offline_by({"HF_HUB_OFFLINE": "0"}) is None
    hub = Needs(Path("/somewhere"), hub=("owner/name",))
    assert network.check_network(NEEDS, "", {"HF_HUB_OFFLINE": "1"}).state == "ok"
    found = network.check_network(hub, "", {"HF_HUB_OFFLINE": "1"})
    assert found.state == "warn" and "the recipe reads owner/name from it" in found.found
    assert network.check_network(hub, "no answer in 2 s", {}).state == "warn"
    assert network.check_network(NEEDS, "", {}).found == "the hub answers"


def test_a_hub_that_takes_the_call_and_says_nothing_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert reach_hub(0.2).startswith("no answer in")
    monkeypatch.setenv("HF_ENDPOINT", "not an address")
    assert "unknown url type" in reach_hub(2.0)


def test_a_login_is_told_and_not_shown() -> None:
    assert judge_login(True, hub=True).found == "a token is there (not shown, not tried)"
    assert judge_login(False, hub=True).state == "warn" and judge_login(False, hub=False).state == "ok"


def test_clusters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = cluster.check_cluster(Needs(tmp_path, executor="slurm"))
    assert (found.state, found.found) == ("fail", "Slurm: no sbatch and no squeue on the PATH")
    for name in ("sbatch", "squeue"):
        (tmp_path / name).touch(mode=0o755)
    assert cluster.check_cluster(Needs(tmp_path, executor="slurm")).state == "ok"
    assert cluster.check_cluster(NEEDS).found == "processes of this machine"
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        monkeypatch.setattr(cluster, "installed_version", lambda name: "2.50")
        assert cluster.check_cluster(Needs(tmp_path, executor="ray", ray_address=address)).state == "ok"
    found = cluster.check_cluster(Needs(tmp_path, executor="ray", ray_address=address))
    assert found.state == "fail" and f"nothing answers at {address}" in found.found
    monkeypatch.setattr(cluster, "installed_version", lambda name: None)
    assert cluster.check_cluster(Needs(tmp_path, executor="ray")).state == "fail"


def test_what_the_libraries_said_before_they_hung_counts() -> None:
    torch = (
        '{"torch": {"version": "2.9.0", "cuda": "12.8", "hip": null, "architectures": ["sm_90"], "gpus": [{"name": "H",'
        ' "memory_bytes": 5, "capability": [9, 0], "bf16": true}], "flash": true, "extensions": "/x", "problem": ""}}'
    )
    found = read_answers(f"a stray line\n{torch}\n", "no answer in 45 s")
    assert found.torch and found.torch.gpus[0].capability == (9, 0) and found.torch.architectures == ("sm_90",)
    assert found.deepspeed is None and found.deepspeed_problem == "no answer in 45 s"
    failed = read_answers('{"torch_problem": "ImportError: libcudart.so"}', "it ended without an answer")
    assert failed.torch is None and failed.torch_problem == "ImportError: libcudart.so"


def test_libraries_that_hang_are_left_in_time() -> None:
    found = ask(0.05)
    assert found.torch is None and found.torch_problem == found.deepspeed_problem == "no answer in 0 s"


def test_what_a_recipe_asks_for(tmp_path: Path) -> None:
    (tmp_path / "redwhale.yaml").write_text(preset_text("redwhale-10.8b"))
    changes = ["pretrain.deepspeed.offload=optimizer", "machine.executor=ray", "pretrain.trackers.tensorboard=true",
               "machine.devices=4", "workdir=elsewhere"]  # fmt: skip
    needs = needs_of(load_recipe(tmp_path / "redwhale.yaml", changes))
    assert needs.folder == tmp_path / "elsewhere" and needs.devices == 4 and needs.executor == "ray"
    assert needs.bf16 and needs.deepspeed and needs.host_adam and needs.runs_models and not needs.flex
    assert needs.extras == ("ray", "tensorboard")
    assert needs.hub[0] == "upstage/SOLAR-10.7B-v1.0" and needs.model_bytes == 0
    plain = needs_of(load_recipe(tmp_path / "redwhale.yaml", ["pretrain.deepspeed=null"]))
    assert not plain.deepspeed and not plain.host_adam and plain.extras == ()


def test_models_that_are_to_be_made_take_room(tmp_path: Path) -> None:
    recipe = load_recipe(make_workspace(tmp_path) / "redwhale.yaml", ())
    base = sum(path.stat().st_size for path in (tmp_path / "base").glob("*.safetensors"))
    assert base > 0 and needs_of(recipe).model_bytes == 4 * base  # model 0 and three stages
    (recipe.model_0_folder).mkdir(parents=True)
    (recipe.model_0_folder / "manifest.json").touch()
    assert needs_of(recipe).model_bytes == 3 * base and needs_of(recipe).hub == ()
