"""A project's own task, the one of the suite's README: trained, served, caught when it cheats."""

from __future__ import annotations

import io
import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_aibench.bounds import Estimate
from pytest_aibench.cli import main
from pytest_aibench.quality import metrics
from pytest_aibench.telemetry.watch import Watch
from tests.records import stored_files

pytest.importorskip("torch")
# Projects run in this process, and pytester forgets what they import; these cannot be imported
# twice.
for module in ("torch._dynamo", "pytest_aibench.training.runner"):
    import_module(module)

README = Path(__file__).parents[2] / "benchmarks" / "README.md"
MODEL, TASK = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)

BENCHMARKS = """
import pytest

from clouds.task import TASK
from pytest_aibench.datasets import get

@pytest.mark.train
def test_training(trainer):
    trainer.run(TASK).require(**{TASK.metric: TASK.bound()}, time_to_quality=TASK.time_to_quality)

@pytest.mark.parametrize("scenario", TASK.scenarios)
def test_inference(loadgen, trainer, device, precision, scenario):
    weights, provenance = trainer.trained(TASK)
    model = TASK.serve(weights, device, precision)
    result = loadgen.run(
        model,
        get("clouds"),
        scenario,
        references={"trained": provenance["top1"]},
        provenance=provenance,
    )
    result.require(top1=TASK.bound("trained"), throughput=TASK.throughput)
"""


@pytest.fixture
def component(
    project: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """A project with one folder for one task, and a cache of weights of its own."""
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(metrics, "_METRICS", dict(metrics._METRICS))
    metrics.register(metrics.TopK(name="reversed", k=1, better="lower"))
    package = project.mkpydir("clouds")
    (package / "model.py").write_text(MODEL)
    (package / "task.py").write_text(TASK)
    project.makepyfile(BENCHMARKS)
    return project


def change(component: pytest.Pytester, name: str, old: str, new: str) -> None:
    """Replace a text in a file of the task's folder."""
    path = component.path / "clouds" / name
    source = path.read_text()
    assert source.count(old) == 1
    path.write_text(source.replace(old, new))


def entries(component: pytest.Pytester) -> dict[str, Any]:
    """The entries of the last session, by test."""
    record = json.loads(stored_files(component.path / ".aibench")[-1].read_text())
    return {entry["id"].split("::")[1].split("[")[0]: entry for entry in record["benchmarks"]}


def test_a_new_task_is_a_few_lines() -> None:
    assert len([line for line in TASK.splitlines() if line]) < 30


def test_a_task_in_a_folder_of_the_project_is_trained_and_served(
    component: pytest.Pytester,
) -> None:
    result = component.runpytest()
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        [
            "test_training *top1 * *time_to_quality * passed",
            "cpu *≥ 0.95 *≤ 1 min",
            "*(trivial 0.5)",
        ]
    )
    found = entries(component)
    assert found["test_training"]["training"]["baseline"] == {
        "name": "first class",
        "metric": "top1",
        "value": 0.5,
    }
    assert found["test_inference"]["provenance"]["from_cache"] is True


def test_a_task_is_trained_on_several_seeds(component: pytest.Pytester) -> None:
    component.makeini("[pytest]\naibench_seeds = 3")
    result = component.runpytest("-k", "training")
    result.assert_outcomes(passed=1)
    result.stdout.re_match_lines([r".*\(3 seeds, CV \d+ %\)"])
    entry = entries(component)["test_training"]
    trainings = [entry["training"], *entry["other_seeds"]]
    assert [one["seed"] for one in trainings] == [0, 1, 2]
    costs = sorted(one["epochs"] for one in trainings)
    assert entry["metrics"]["epochs_to_quality"]["value"] == costs[1]
    assert entry["metrics"]["variation"]["n"] == 3
    assert [one["macs_per_sample"] for one in trainings] == [4, 4, 4]


PRECISIONS = """
from clouds.task import TASK
from pytest_aibench import SingleStream
from pytest_aibench.datasets import get
from pytest_aibench.training import quantization

def test_training(trainer, precision):
    trainer.run(TASK, precision=precision).require(top1=TASK.bound())

def test_inference(loadgen, trainer, device, precision):
    weights, provenance = trainer.trained(TASK)
    model = TASK.serve(weights, device, precision)
    provenance = {**provenance, **quantization(model)}
    result = loadgen.run(model, get("clouds"), SingleStream(), provenance=provenance)
    result.require(top1=TASK.bound())
"""


def test_all_precisions_are_served_and_int8_is_not_trained(component: pytest.Pytester) -> None:
    component.makepyfile(PRECISIONS)
    result = component.runpytest("--aibench-precision=all", "-rs")
    result.assert_outcomes(passed=5, skipped=1)
    result.stdout.fnmatch_lines(
        ["SKIPPED * int8 is for inference: trainings compute in fp32, bf16 or fp16"]
    )
    record = json.loads(stored_files(component.path / ".aibench")[-1].read_text())
    served = {
        entry["precision"]: entry["provenance"].get("quantization")
        for entry in record["benchmarks"]
        if "test_inference" in entry["id"]
    }
    assert served.pop("int8") == {
        "layers": 1,
        "share_of_parameters": 1,
        "engine": import_module("torch").backends.quantized.engine,
    }
    assert served == {"fp32": None, "bf16": None}


def test_a_model_without_a_layer_for_int8_is_skipped(component: pytest.Pytester) -> None:
    change(component, "model.py", "nn.Linear(2, 2)", "nn.Conv1d(2, 2, 1)")
    change(component, "model.py", "self.line(points)", "self.line(points[..., None])[..., 0]")
    component.makepyfile(PRECISIONS)
    result = component.runpytest("--aibench-precision=fp32,int8", "-rs", "-k", "inference")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "SKIPPED * Line has nothing to compute in int8: torch quantises linear, LSTM and GRU "
            "layers dynamically, and it has none"
        ]
    )


def requiring(component: pytest.Pytester, bound: str) -> pytest.RunResult:
    """The training with another bound beside that on its quality."""
    path = next(component.path.glob("test_*.py"))
    required = path.read_text().replace("time_to_quality=TASK.time_to_quality", bound)
    path.write_text("from pytest_aibench import at_most\n" + required)
    return component.runpytest("-k", "training")


def test_variation_of_one_seed_fails(component: pytest.Pytester) -> None:
    result = requiring(component, "variation=at_most('50%')")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["variation: not measured: it takes two seeds: add --aibench-seeds=5"]
    )


def test_energy_to_quality_is_asked_of_a_device_that_does_not_tell(
    component: pytest.Pytester,
) -> None:
    result = requiring(component, "energy_to_quality=at_most('500 J')")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["energy_to_quality: not measured: nothing tells how much energy this device spends: it *"]
    )


def test_energy_to_quality_where_telemetry_reads_it(
    component: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = Estimate(value=321.0, unit="J", n=20, by_value=True)
    monkeypatch.setattr(Watch, "energy", lambda watch, window: spent)
    requiring(component, "energy_to_quality=at_most('500 J')").assert_outcomes(passed=1)
    entry = entries(component)["test_training"]
    assert entry["training"]["energy_j"] == 321.0
    assert entry["metrics"]["energy_to_quality_j"]["value"] == 321.0


def test_a_reference_is_made_of_one_session_and_checked_in_another(
    component: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    component.runpytest("-k", "training", "--aibench-seeds=4").assert_outcomes(passed=1)
    assert main(["export", "rcp", "-o", "rcp.json"]) == 0
    checked = ("-k", "training", "--aibench-seeds=4", "--aibench-rcp=rcp.json")
    component.runpytest(*checked).assert_outcomes(passed=1)
    factor = entries(component)["test_training"]["metrics"]["convergence_factor"]
    assert (factor["value"], factor["n"]) == (1.0, 4)
    path = component.path / "rcp.json"
    ((name, point),) = json.loads(path.read_text()).items()
    slower = {**point, "Epochs to converge": [20, 20, 20, 20]}
    path.write_text(json.dumps({name: slower}))
    result = component.runpytest(*checked)
    result.assert_outcomes(failed=1)
    rule = "trainings converge no faster than their reference"
    result.stdout.fnmatch_lines([f"invalid: {rule}: clouds: * epochs on 4 seeds, *"])


def test_a_reference_takes_three_seeds(component: pytest.Pytester) -> None:
    point = {"Benchmark": "clouds", "BS": 16, "Epochs to converge": [3, 4, 5, 6]}
    (component.path / "rcp.json").write_text(json.dumps({"point": point}))
    result = component.runpytest("--aibench-rcp=rcp.json")
    result.stderr.fnmatch_lines(
        ["ERROR: --aibench-rcp takes three seeds or more: add --aibench-seeds=5"]
    )


class Terminal(io.StringIO):
    """A terminal that can be looked at after it was closed."""

    def isatty(self) -> bool:
        """It is one."""
        return True

    def close(self) -> None:
        """Stay open."""


def test_training_and_load_share_one_line_of_the_terminal(
    component: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("pytest_aibench.session.open_terminal", lambda config: terminal)
    result = component.runpytest("-k", "single_stream")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*epoch 1 of 8*")
    assert re.fullmatch(
        r"clouds, seed 0: epoch 1 of 8, top1 [\d.]+ \(target 0.95\)"
        r".*\r +\rtest_inference\[.*\]: \d+ queries, .* s of 5 s\r +\r",
        terminal.getvalue(),
    )


def test_weights_cached_from_other_code_are_not_served(component: pytest.Pytester) -> None:
    serving = ("-k", "single_stream")
    for changed, from_cache in ((False, False), (False, True), (True, False)):
        if changed:
            change(component, "model.py", "self.line(points)", "-self.line(points)")
        component.runpytest(*serving).assert_outcomes(passed=1)
        assert entries(component)["test_inference"]["provenance"]["from_cache"] is from_cache


NOT_REACHED = "failed: top1 * required ≥ 0.95*"


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        pytest.param(
            "task.py",
            "points, classes, licence",
            "points, classes if split == 'test' else np.arange(60) // 2 % 2, licence",
            NOT_REACHED,
            id="labels shuffled in training",
        ),
        pytest.param(
            "model.py",
            "self.line(points)",
            "self.line(points * 0)",
            NOT_REACHED,
            id="model ignores its input",
        ),
        pytest.param(
            "task.py",
            'split == "train"',
            "1",
            "invalid: a test split holds no training samples: data set 'clouds': 60 of 60 test "
            "samples are in the train split too, the first is sample 0",
            id="evaluation on training data",
        ),
        pytest.param(
            "task.py",
            'metric="top1"',
            'metric="reversed"',
            "invalid: a target is better than a trivial answer: clouds: the target is reversed "
            "0.95, the trivial answer (first class) gives reversed 0.5",
            id="metric reversed",
        ),
        pytest.param(
            "task.py",
            "target=0.95",
            "target=0.5",
            "invalid: a target is better than a trivial answer: clouds: the target is top1 0.5, "
            "the trivial answer (first class) gives top1 0.5",
            id="target as good as the trivial answer",
        ),
        pytest.param(
            "task.py",
            "[0] * len(test)",
            "[float('nan')] * len(test)",
            "invalid: a target is better than a trivial answer: clouds: the target is top1 0.95, "
            "the trivial answer (first class) gives 60 of 60 outputs are not numbers*",
            id="trivial answer is none",
        ),
    ],
)
def test_a_planted_fault_is_caught(
    component: pytest.Pytester, name: str, old: str, new: str, message: str
) -> None:
    change(component, name, old, new)
    result = component.runpytest("-k", "training")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([message])


PICTURES = """
import numpy as np

def sheet(test, outputs):
    return np.full((4, len(test), 3), outputs[0].argmax(), np.uint8)

TASK = Task("""


def test_pictures_of_the_trained_answers_are_written(component: pytest.Pytester) -> None:
    image = pytest.importorskip("PIL.Image")
    component.runpytest("-k", "training", "--aibench-pictures", "none").assert_outcomes(passed=1)
    change(component, "task.py", "TASK = Task(", PICTURES + "pictures=sheet,")
    component.runpytest("-k", "training", "--aibench-pictures", "drawn").assert_outcomes(passed=1)
    picture = np.asarray(image.open(component.path / "drawn" / "clouds.png"))
    assert picture.shape == (4, 60, 3)
    assert np.unique(picture).tolist() == [0]
    assert not (component.path / "none").exists()


def test_pictures_need_pillow(component: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_aibench.session.find_spec", lambda name: None)
    result = component.runpytest("--aibench-pictures", "drawn")
    result.stderr.fnmatch_lines(["ERROR: --aibench-pictures needs Pillow: pip install pillow"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_a_folder_for_pictures_that_cannot_be_made_is_named(component: pytest.Pytester) -> None:
    pytest.importorskip("PIL")
    change(component, "task.py", "TASK = Task(", PICTURES + "pictures=sheet,")
    result = component.runpytest("-k", "training", "--aibench-pictures", "clouds/task.py")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*cannot write pictures to *task.py (File exists): choose another folder with *"]
    )
