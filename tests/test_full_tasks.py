"""Scale full: the same tests with the papers' models, on original data from a folder."""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
import torch
import torch._dynamo  # Pytester forgets what its projects import, and this only goes once.
from PIL import Image
from torch import nn

from benchmarks.components import (
    all_tasks,
    first_task,
    full_models,
    full_tasks,
    image_classification,
    recommendation,
    spatial_transformer,
    task,
)
from benchmarks.components._folders import original
from benchmarks.components._images import Normalised
from benchmarks.components.image_classification import original as imagenet
from benchmarks.components.spatial_transformer import original as mnist
from pytest_aibench import datasets
from pytest_aibench.datasets import DataAbsent, Dataset, base, mounted, mounting
from pytest_aibench.datasets.base import folder_of
from pytest_aibench.quality.metrics import metric
from pytest_aibench.training import Task
from pytest_aibench.units import RATE, TIME
from tests.original.files import write_mnist
from tests.records import stored_files

# Sessions run in this process, and pytester forgets what they import; these cannot be imported
# twice.
for module in ("torch._dynamo", "pytest_aibench.training.runner"):
    import_module(module)

ROOT = Path(__file__).parent.parent
FULL_TASKS = full_tasks()

OTHER_WEIGHTS = {"learning_to_rank": 2_793_951, "architecture_search": 124_075_200}
"""What is trained beside the model whose size is published: the student, the other cells."""

OTHER_BASELINES = {"summarization": "first ten words"}
"""What is trivial about news is not about docstrings."""

OTHER_FOLDERS = {"image_compression": "imagenet"}
"""What another task reads, too."""

every_full_task = pytest.mark.parametrize("full", FULL_TASKS.values(), ids=FULL_TASKS)


@every_full_task
def test_a_full_task_is_the_task_with_other_data(full: Task) -> None:
    small = task(full.name)
    assert (full.component, full.title) == (small.component, small.title)
    assert full.baseline.name == OTHER_BASELINES.get(full.name, small.baseline.name)
    assert metric(full.metric).better == metric(small.metric).better
    assert full.dataset != small.dataset
    assert folder_of(full.dataset) == OTHER_FOLDERS.get(full.name, full.dataset)
    assert [one.name for one in full.scenarios] == [one.name for one in small.scenarios]
    assert (full.throughput.limit.unit, full.time_to_quality.limit.unit) == (RATE, TIME)
    assert full.provenance["component"] == small.provenance["component"]
    assert full.cpu_threads is None


@every_full_task
def test_a_full_task_trains_the_model_that_is_counted(full: Task) -> None:
    with torch.device("meta"):
        model = full.build()
    counted = full_models()[full.name].parameters()
    n_weights = sum(weight.numel() for weight in model.parameters())
    assert n_weights - counted == OTHER_WEIGHTS.get(full.name, 0)


@every_full_task
def test_a_folder_that_is_missing_is_named(full: Task, tmp_path: Path) -> None:
    with pytest.raises(DataAbsent) as error:
        datasets.get(full.dataset)
    assert str(error.value).startswith("name a folder with --aibench-data DIR, and put ")
    assert str(error.value).endswith(f"under DIR/{folder_of(full.dataset)} as {PAGE} describes")
    with mounting(tmp_path), pytest.raises(DataAbsent) as error:
        datasets.get(full.dataset)
    assert str(error.value).startswith("put ")
    place = tmp_path / folder_of(full.dataset)
    assert str(error.value).endswith(f"under {place} as {PAGE} describes")


@every_full_task
def test_data_are_documented(full: Task) -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert f"| {full.component} | `{folder_of(full.dataset)}/` |" in page


PAGE = "docs/original-data.md"
LISTING = ("-q", "--collect-only")
WITHOUT = ("-p", "no:randomly", "-p", "no:cacheprovider")


@pytest.fixture(autouse=True)
def own_machine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings and locks of devices that are nobody else's; sockets need a short name."""
    for name in [name for name in os.environ if name.startswith("AIBENCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AIBENCH_DEVICE", "cpu")
    folder = str(tmp_path_factory.mktemp("t"))
    monkeypatch.setenv("TMPDIR", folder)
    monkeypatch.setattr(tempfile, "tempdir", folder)


def run_suite(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run the suite's tests from its own root folder."""
    suite = ROOT / "benchmarks" / "test_components.py"
    root = (f"--rootdir={ROOT}", f"-c{ROOT / 'pyproject.toml'}")
    return pytester.runpytest(*root, *WITHOUT, suite, *arguments)


def test_tests_are_the_same_at_each_scale(pytester: pytest.Pytester) -> None:
    small, full = (
        [
            re.sub(r"-\d+(qps)?\]", "]", line)
            for line in run_suite(pytester, f"--aibench-scale={scale}", *LISTING).outlines
            if "::" in line
        ]
        for scale in ("embedded", "full")
    )
    assert small == full
    assert "benchmarks/test_components.py::test_training[cpu-fp32-image_classification]" in full


def test_all_components_have_a_full_task() -> None:
    assert set(FULL_TASKS) == {first_task(one.component).name for one in all_tasks()}


def test_without_data_or_task_a_test_is_skipped(
    pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(recommendation, "FULL_TASK")
    arguments = ("--aibench-scale=full", f"--aibench-data={tmp_path}", "--aibench-no-store")
    chosen = "test_training and (image_c or recommendation)"
    result = run_suite(pytester, *arguments, f"-k{chosen}", "-rs")
    put = f"put ImageNet (ILSVRC 2012) under {tmp_path}/imagenet as {PAGE} describes"
    result.stdout.fnmatch_lines(
        [
            f"SKIPPED [[]2] * {put}",
            "SKIPPED * C10 has no full task yet: recommendation runs with --aibench-scale embedded",
        ]
    )
    assert result.parseoutcomes()["skipped"] == 4


def test_a_task_on_further_data_names_the_one_with_the_original(
    pytester: pytest.Pytester,
) -> None:
    result = run_suite(pytester, "--aibench-scale=full", "-ktest_training and mnist", "-rs")
    result.stdout.fnmatch_lines(["SKIPPED * C1 at full scale is image_classification"])


@pytest.fixture
def few_scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with 70 scans of MNIST to train and 30 to test, loaded anew, for one epoch."""
    write_mnist(tmp_path / mnist.NAME, train=70, test=30)
    monkeypatch.setattr(base, "_LOADERS", dict(base._LOADERS))
    original(mnist.NAME, "MNIST")(mnist.load)
    short = replace(spatial_transformer.FULL_TASK, max_epochs=1, cpu_threads=1)
    monkeypatch.setattr(spatial_transformer, "FULL_TASK", short)
    return tmp_path


def train_on(
    folder: Path, pytester: pytest.Pytester, name: str = "spatial_transformer"
) -> pytest.RunResult:
    arguments = ("--aibench-scale=full", f"--aibench-data={folder}", f"--aibench-store={folder}")
    return run_suite(pytester, *arguments, f"-ktest_training and {name}")


def test_data_that_are_not_whole_are_an_error(pytester: pytest.Pytester, few_scans: Path) -> None:
    result = train_on(few_scans, pytester)
    assert result.parseoutcomes()["failed"] == 1
    result.stdout.fnmatch_lines(
        [f"*{few_scans}/mnist has 70 train scans and should have 60000: complete it as {PAGE} *"]
    )


def test_a_full_training_says_so_in_its_record(
    pytester: pytest.Pytester, few_scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(mnist.COUNTS, "train", 70)
    monkeypatch.setitem(mnist.COUNTS, "test", 30)
    train_on(few_scans, pytester).stdout.fnmatch_lines(
        ["*test_training?cpu-fp32-spatial_transformer*"]
    )
    (path,) = stored_files(few_scans)
    run = json.loads(path.read_text(encoding="utf-8"))
    assert run["environment"]["harness"]["scale"] == "full"
    (entry,) = run["benchmarks"]
    assert entry["provenance"]["data"].startswith("MNIST as it is")


class Brightness(nn.Sequential):
    """Tells bright photographs from dark ones."""

    def __init__(self) -> None:
        super().__init__(Normalised(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))


@pytest.fixture
def few_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like ImageNet's with two classes of six photographs in each part, for two epochs."""
    for part, shades in (("train", (20, 200)), ("val", (30, 210))):
        for synset, shade in zip(("n01440764", "n01443537"), shades, strict=True):
            for number in range(6):
                path = tmp_path / imagenet.NAME / part / synset / f"{number}.JPEG"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (300 + number, 280), (shade + number,) * 3).save(path)
    monkeypatch.setattr(base, "_LOADERS", dict(base._LOADERS))
    counts = {"train": 12, "test": 12}
    original(imagenet.NAME, "ImageNet")(partial(imagenet.load, classes=2, counts=counts))
    short = replace(
        image_classification.FULL_TASK,
        max_epochs=2,
        batch_size=5,
        target=0.9,
        cpu_threads=1,
        build=Brightness,
    )
    monkeypatch.setattr(image_classification, "FULL_TASK", short)
    return tmp_path


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_training_on_photographs_in_files_goes_through(
    pytester: pytest.Pytester, few_photographs: Path
) -> None:
    result = train_on(few_photographs, pytester, "image_classification and not mnist")
    result.assert_outcomes(passed=1)
    (path,) = stored_files(few_photographs)
    (entry,) = json.loads(path.read_text(encoding="utf-8"))["benchmarks"]
    assert entry["training"]["n_samples"] == 12
    assert entry["training"]["reached_target"] is True
    assert entry["training"]["macs_per_sample"] == 6


def test_a_folder_that_is_not_there_is_a_usage_error(pytester: pytest.Pytester) -> None:
    result = run_suite(pytester, "--aibench-data=/no/such", *LISTING)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --aibench-data=/no/such: there is no such folder"])


def test_a_mounted_folder_is_there_for_a_while(tmp_path: Path) -> None:
    assert mounted() is None
    with mounting(tmp_path):
        assert mounted() == tmp_path
    assert mounted() is None


def test_an_own_loader_may_read_a_mounted_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_aibench.datasets.base._LOADERS", {})

    @datasets.register("mine", folder="mine")
    def load(split: str) -> Dataset:
        raise DataAbsent(f"not in {mounted()}")

    with mounting(tmp_path), pytest.raises(DataAbsent, match=f"^not in {tmp_path}$"):
        datasets.get("mine")
