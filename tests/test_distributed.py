"""Training in several processes: shares of a batch, and torchrun as a user starts it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed import HashStore  # type: ignore[attr-defined]

from pytest_aibench import session
from pytest_aibench.datasets import base
from pytest_aibench.devices import resolve
from pytest_aibench.errors import UserError
from pytest_aibench.options import Launch
from pytest_aibench.session import BenchmarkSession
from pytest_aibench.training.distributed import Alone, Group, Processes, own_seed
from pytest_aibench.training.trainer import train
from tests.clouds import TASK, cross_entropy, linear, register_clouds

CPU = resolve("cpu")[0]
ROOT = Path(__file__).parent.parent
LAUNCHED = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}

PROJECT = """
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pytest_aibench import Offline, at_least
from pytest_aibench.datasets import get
from pytest_aibench.training import Supervised
from tests.clouds import TASK, cross_entropy, learning, register_clouds

register_clouds()
RANK = os.environ["RANK"]


def trained(trainer, task):
    run = trainer.run(task)
    (result,) = run.result.by_seed
    torch.save(result.state_dict, f"{task}-{RANK}.pt")
    torch.save([epoch.loss for epoch in result.epochs], f"{task}-losses-{RANK}.pt")
    run.require(top1=at_least(task.target))


def test_odd(trainer):
    trained(trainer, replace(TASK, name="odd", batch_size=17))


def noisy(points):
    noise = 0.1 * torch.randn_like(points)
    torch.save([noise, np.random.rand()], f"noise-{RANK}.pt")
    return points + noise


def normalised():
    return nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))


def test_noisy(trainer):
    trained(trainer, replace(learning(augment=noisy), name="noisy", build=normalised))


def test_load(loadgen, trainer, device):
    model = TASK.serve(trainer.trained(TASK).state_dict, device, "fp32")
    loadgen.run(model, get("clouds"), Offline()).require(top1=at_least(0.9))


def test_own_learner(trainer):
    def own(model, steps):
        return TASK.learner(model, steps)

    trainer.run(replace(TASK, learner=own))
"""

FAILING = """
import os

from tests.clouds import cross_entropy, learning, register_clouds

register_clouds()


def failing(model, points, classes):
    if os.environ["RANK"] == "1" and model.training and len(points) == 6:
        raise ZeroDivisionError("it cannot\\nbe divided")
    return cross_entropy(model, points, classes)


def test_failing(trainer):
    trainer.run(learning(loss=failing))


def test_never_run(trainer):
    print("it goes on")
"""


def gradients(model: nn.Module) -> Tensor:
    return torch.cat(
        [weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]
    )


@pytest.mark.parametrize("n_samples", [16, 17, 9, 2, 1])
@pytest.mark.parametrize("size", [2, 3])
def test_gradients_of_all_shares_are_on_average_that_of_the_batch(
    n_samples: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nn.parallel, "DistributedDataParallel", lambda module, device_ids: module)
    model = linear()
    points, classes = torch.randn(20, 2), torch.randint(2, (20,))
    batch = torch.randperm(20)[:n_samples]

    def learnt(group: Alone | Group) -> tuple[float, Tensor]:
        model.zero_grad()
        loss = group.spread(lambda points, classes: cross_entropy(model, points, classes), model)
        samples = group.share(batch)
        value = loss(points[samples], classes[samples])
        value.backward()  # type: ignore[no-untyped-call]
        return value.item(), gradients(model)

    losses, shares = zip(*(learnt(Group(rank, size, CPU)) for rank in range(size)), strict=True)
    loss, whole = learnt(Alone())
    assert sum(losses) / size == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(sum(shares) / size, whole)


def test_shares_are_disjoint_and_even() -> None:
    batch = torch.randperm(100)
    shares = [Group(rank, 3, CPU).share(batch) for rank in range(3)]
    assert [len(share) for share in shares] == [34, 33, 33]
    assert torch.cat(shares).equal(batch)


def test_no_two_processes_of_any_training_draw_the_same_numbers() -> None:
    seeds = {own_seed(seed, rank) for seed in range(20) for rank in range(1, 9)}
    assert len(seeds) == 160


def of_one_launch(size: int) -> list[Processes]:
    """Processes, in this one, that leave each other words as those of torchrun do."""
    store = HashStore()
    processes = [Processes(rank, size) for rank in range(size)]
    for each in processes:
        each.__dict__["_store"] = store
    return processes


def test_the_first_failure_is_the_cause_of_all() -> None:
    first, second, third = of_one_launch(3)
    second._blame(ValueError("a\nb"))
    for other in (first, third):
        with pytest.raises(UserError) as error:
            other._blame(RuntimeError("closed by peer"))
        assert str(error.value) == "process 1 failed: ValueError: a"


def test_who_fails_in_a_training_leaves_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Processes, "_meet", lambda processes, name: None)
    monkeypatch.setattr(Processes, "_connect", lambda processes, backend: None)
    first, second = of_one_launch(2)
    with pytest.raises(ZeroDivisionError), first.joined("x", CPU):
        raise ZeroDivisionError("no")
    with pytest.raises(UserError) as error, second.joined("x", CPU):
        raise RuntimeError("closed by peer")
    assert str(error.value) == "process 0 failed: ZeroDivisionError: no"


def test_who_does_not_come_is_not_waited_for_without_end() -> None:
    first, _ = of_one_launch(2)
    first._store.set_timeout(timedelta(milliseconds=10))
    with pytest.raises(UserError) as error, first.joined("x", CPU):
        pass
    assert str(error.value) == "not all of 2 processes came to train x within 3600 s"


def test_other_devices_than_cpu_and_cuda_are_refused() -> None:
    class Other:
        id = kind = "mps"

    with pytest.raises(UserError) as error, Processes(0, 2).joined("x", Other()):  # type: ignore[arg-type]
        pass
    assert str(error.value) == "several processes cannot train on mps: use --device cuda or cpu"


def devices_of(asked: str, rank: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Ids of the devices that a process takes, by what node ids call them."""

    def fake(spec: str) -> list[SimpleNamespace]:
        words = [word if ":" in word or word == "cpu" else f"{word}:0" for word in spec.split(",")]
        return [SimpleNamespace(id=word, kind=word.partition(":")[0]) for word in words]

    monkeypatch.setattr(session, "resolve", fake)
    settings: Any = SimpleNamespace(device=asked, launch=Launch(rank, rank, 2))
    found = BenchmarkSession(settings, Path(), print).devices
    return {name: device.id for name, device in found.items()}


@pytest.mark.parametrize(
    ("asked", "rank", "expected"),
    [
        ("cpu", 0, {"cpu": "cpu"}),
        ("cpu", 1, {"cpu": "cpu"}),
        ("cuda", 0, {"cuda:0": "cuda:0"}),
        ("cuda", 1, {"cuda:0": "cuda:1"}),
    ],
)
def test_each_process_has_a_gpu_of_its_own_under_the_same_name(
    asked: str, rank: int, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert devices_of(asked, rank, monkeypatch) == expected


def test_processes_do_not_take_several_devices_each(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError) as error:
        devices_of("cpu,cuda", 0, monkeypatch)
    assert str(error.value) == (
        "several processes train on one kind of device: use --device cuda or cpu"
    )


@pytest.mark.parametrize("first", [["a", "b"], ["b", "a"], ["a"]])
def test_processes_must_run_the_same_tests(first: list[str]) -> None:
    leading, following = of_one_launch(2)
    leading.check_alike(first)
    if first == ["a", "b"]:
        following.check_alike(["a", "b"])
        return
    with pytest.raises(UserError) as error:
        following.check_alike(["a", "b"])
    assert str(error.value) == (
        "the processes of torchrun run other tests than the first one, or in another order: "
        "select them alike, and add -p no:randomly"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--aibench-resume"],
            "--aibench-resume keeps the state of one process: leave out torchrun",
        ),
        (["-n2"], "torchrun and xdist do not go together: leave out -n"),
        (
            ["--aibench-compare"],
            "--aibench-compare runs benchmarks again, which the processes of torchrun would not do "
            "in step: leave it out, and see 'aibench compare'",
        ),
        (
            ["--aibench-calibrate"],
            "--aibench-calibrate runs benchmarks again, which the processes of torchrun would not "
            "do in step: leave it out, and see 'aibench compare'",
        ),
    ],
)
def test_what_processes_cannot_do_in_step_is_refused(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)
    result = pytester.runpytest("--device=cpu", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: {message}" in result.stderr.lines


def record(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob(".aibench/runs/**/*.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def torchrun(pytester: pytest.Pytester, source: str) -> pytest.RunResult:
    """Run a module of tests on two processes, as a user does, with device locks of their own."""
    pytester.makepyfile(source)
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "pytest")
    options = ("--device=cpu", "--aibench-effort=quick", "-rs", "-s", "-p", "no:randomly")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("AIBENCH_CACHE", str(pytester.path / "cache"))
        patch.setenv("TMPDIR", str(pytester.mkdir("temporary")))
        return pytester.run(sys.executable, *launch, *options, timeout=300)


def test_two_processes_train_as_one(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = torchrun(pytester, PROJECT)
    text = result.stdout.str()
    assert result.ret == 0
    assert text.count("aibench: device cpu, 2 processes, effort quick, records in .aibench") == 1
    assert text.count("= benchmarks =") == 1
    assert text.count("only the first process of torchrun runs this: it is no training") == 1
    assert text.count("clouds's learner does not run on several processes") == 2

    kept = {one["id"].partition("::")[2]: one for one in record(pytester.path)["benchmarks"]}
    assert list(kept) == ["test_odd[cpu]", "test_noisy[cpu]", "test_load[cpu]"]
    trained = kept["test_odd[cpu]"]["training"]
    assert trained["processes"] == 2

    def saved(name: str) -> Any:
        return torch.load(pytester.path / f"{name}.pt")

    monkeypatch.setattr(base, "_LOADERS", dict(base._LOADERS))
    register_clouds()
    alone = train(replace(TASK, batch_size=17), CPU, seed=0)
    assert trained["quality_trace"] == alone.entry().quality_trace
    torch.testing.assert_close(saved("odd-0"), alone.state_dict)
    losses = [epoch.loss for epoch in alone.epochs]
    assert saved("odd-losses-0") == saved("odd-losses-1") == pytest.approx(losses, rel=1e-5)
    for task in ("odd", "noisy"):
        torch.testing.assert_close(saved(f"{task}-0"), saved(f"{task}-1"), rtol=0, atol=0)
    (noise, number), (other_noise, other_number) = saved("noise-0"), saved("noise-1")
    assert not noise.equal(other_noise)
    assert number != other_number
    assert len(list((pytester.path / "cache" / "weights").iterdir())) == 1


def test_a_process_that_fails_ends_all(pytester: pytest.Pytester) -> None:
    result = torchrun(pytester, FAILING)
    text = result.stdout.str()
    assert result.ret == 1
    assert "ZeroDivisionError: it cannot" in text
    assert "! process 1 of 2 failed: the others end with it !" in text
    assert "it goes on" not in text
