"""The command ``aibench tables``: what it makes of records, and says where figures are missing."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_aibench.bounds import Estimate, Violation, at_least
from pytest_aibench.commands import tables
from pytest_aibench.entries import training_fields
from pytest_aibench.errors import UserError
from pytest_aibench.outcome import judge_all
from pytest_aibench.report.behaviour import N_CLUSTERS
from pytest_aibench.results.locations import open_store
from pytest_aibench.results.schema import BenchmarkEntry
from pytest_aibench.results.store import write_run
from pytest_aibench.training.result import Complexity, Epoch, TrainingResult, Trainings
from pytest_aibench.training.runner import TrainingRun
from tests.clouds import TASK, register_clouds
from tests.records import benchmark, run_of

Print = Callable[..., str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register_clouds()
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AIBENCH_STORE", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Print:
    """What the command prints, without spaces at the ends of lines."""

    def run(*arguments: str) -> str:
        parser = argparse.ArgumentParser()
        tables.add_arguments(parser)
        assert tables.run(parser.parse_args(arguments)) == 0
        return "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines())

    return run


def result(seed: int, n_epochs: int, epoch_s: float, *, reached: bool) -> TrainingResult:
    return TrainingResult(
        metric="top1",
        target=0.5,
        seed=seed,
        n_samples=100,
        batch_size=10,
        windows=((0.0, n_epochs * epoch_s),),
        epochs=tuple(
            Epoch(
                loss=0.1,
                quality=Estimate(value=0.9 if reached else 0.1, n=5),
                train_s=epoch_s / 2,
                end_s=epoch_s * number,
            )
            for number in range(1, n_epochs + 1)
        ),
        state_dict={},
    )


def trained(
    task: str,
    *epochs: int,
    epoch_s: float = 2.0,
    component: str = "",
    reached: bool = True,
    complexity: Complexity = Complexity(n_parameters=1000, macs_per_sample=20_000),  # noqa: B008
) -> BenchmarkEntry:
    """A task that was trained on one seed for each number of epochs."""
    source = {"component": f"AIBench Training DC-AI-{component}, something"} if component else {}
    results = [result(*one, epoch_s, reached=reached) for one in enumerate(epochs)]
    run = TrainingRun(
        task=replace(TASK, name=task, provenance=source),
        result=Trainings(by_seed=tuple(results)),
        baseline=Estimate(value=0.1, n=5),
        complexity=complexity,
        settle=lambda run, outcome: None,
    )
    fields = training_fields(run, judge_all(run.result, {"top1": at_least(0.5)}))
    entry = benchmark(f"benchmarks/test_components.py::test_training[cpu-{task}]")
    return replace(entry, precision="", **fields)


def store(*entries: BenchmarkEntry, number: int = 0, scale: str = "embedded") -> str:
    """Store a session, and return the run's id."""
    run = run_of(*entries, run_id=f"01JD8Z{number:020}")
    environment = replace(run.environment, harness={"scale": scale})
    started_at = f"2026-03-01T{number:02}:00:00+00:00"
    write_run(open_store(".aibench"), replace(run, environment=environment, started_at=started_at))
    return run.run_id


def test_the_tables(printed: Print) -> None:
    store(
        trained("image_classification", 4, 4, 4, 4, component="C1"),
        trained("image_generation", 3, 3, 3, 3, epoch_s=1.0, component="C2"),
        trained("object_detection", 8, epoch_s=1000.0, component="C9"),
        trained("learning_to_rank", 9, 10, 9, 10, 12, epoch_s=1.0, component="C16"),
        trained("own", 7, reached=False, complexity=Complexity()),
    )
    assert printed() == TABLES.strip()


def test_markdown(printed: Print) -> None:
    store(trained("own", 4, 4, 4, 4))
    assert printed("--format", "markdown") == MARKDOWN.strip()


def test_json(printed: Print) -> None:
    run_id = store(
        *(trained(f"task {n}", *[n] * 4, epoch_s=n) for n in range(1, 7)),
        trained("learning_to_rank", 5, 7, component="C16"),
    )
    (suite,) = json.loads(printed("--format", "json"))
    assert (suite["hardware"], suite["scale"]) == ("cpu", "embedded")
    assert suite["records"] == {run_id: "started 2026-03-01T00:00:00+00:00, commit unknown"}
    ranking, *own = suite["tasks"]
    assert (ranking["component"], ranking["epochs"]) == ("C16", [5, 7])
    assert ranking["figures"]["time_to_quality_s"]["value"] == 12.0
    assert ranking["figures"]["variation"]["value"] == pytest.approx(math.sqrt(2) / 6)
    assert ranking["figures"]["n_parameters"]["value"] == 1000
    assert [one["figures"]["s_per_epoch"]["value"] for one in own] == [1, 2, 3, 4, 5, 6]
    assert suite["clusters"]["places"].keys() == {one["name"] for one in suite["tasks"]}
    assert 1 <= len(suite["chosen"]) <= N_CLUSTERS
    by_rule, here, theirs = suite["savings"]
    assert tuple(suite["chosen"]) == tuple(by_rule["members"])
    assert (here["members"], here["share"]) == (["C1", "C9", "learning_to_rank"], None)
    assert (theirs["members"], round(theirs["share"], 3)) == (["C1", "C9", "C16"], 0.41)
    assert suite["published"]["C9"]["hours"] == 2.52


def test_the_cost_of_the_subset(printed: Print) -> None:
    components = {"C1": 10, "C9": 20, "C16": 30, "C3": 140}
    store(
        *(trained(one, seconds, epoch_s=1.0, component=one) for one, seconds in components.items())
    )
    (suite,) = json.loads(printed("--format", "json"))
    here = suite["savings"][1]
    assert (here["members"], here["cost_s"], here["all_s"]) == (["C1", "C9", "C16"], 60, 200)
    assert here["share"] == 0.7


def test_of_several_tasks_of_a_component_the_first_is_in_the_subset(printed: Print) -> None:
    named = {"C1": "a_on_more_data", "C9": "b", "C16": "c"}
    further = [trained(name, 4, component=component) for component, name in named.items()]
    store(trained("a", 4, component="C1"), *further)
    (suite,) = json.loads(printed("--format", "json"))
    assert suite["savings"][1]["members"] == ["a", "b", "c"]


def test_a_training_on_several_seeds_is_preferred_to_a_newer_one_on_one_seed(
    printed: Print,
) -> None:
    store(trained("own", 4, 5), number=1)
    several = store(trained("own", 4, 6), number=2)
    store(trained("own", 9), number=3)
    (suite,) = json.loads(printed("--format", "json"))
    assert suite["records"].keys() == {several}
    assert suite["tasks"][0]["epochs"] == [4, 6]


def test_trainings_to_another_target_are_no_longer_of_the_task(printed: Print) -> None:
    old = trained("own", 4, 5)
    assert old.training is not None
    store(replace(old, training=replace(old.training, target=0.4)), number=1)
    store(trained("own", 9), number=2)
    (suite,) = json.loads(printed("--format", "json"))
    assert suite["tasks"][0]["epochs"] == [9]


def test_what_is_invalid_or_no_training_does_not_count(printed: Print) -> None:
    broken = Violation(rule="a training stays finite", evidence="epoch 1")
    valid = store(benchmark("t.py::test_load"), trained("own", 5), number=1)
    store(replace(trained("own", 1), violations=[broken], verdict="invalid"), number=2)
    (suite,) = json.loads(printed("--format", "json"))
    assert [(one["name"], one["run_id"]) for one in suite["tasks"]] == [("own", valid)]


def test_scales_are_not_mixed(printed: Print) -> None:
    store(trained("own", 5), number=1)
    store(trained("own", 6), number=2, scale="full")
    embedded, full = json.loads(printed("--format", "json"))
    assert [embedded["scale"], full["scale"]] == ["embedded", "full"]
    assert [suite["tasks"][0]["epochs"] for suite in (embedded, full)] == [[5], [6]]
    assert printed().count("Cost of one training") == 2


def test_several_processes_are_apart_from_one(printed: Print) -> None:
    alone = trained("own", 5)
    assert alone.training is not None
    together = replace(alone, training=replace(alone.training, processes=2))
    store(alone, number=1)
    store(together, number=2)
    headings = [line for line in printed().splitlines() if line.startswith("cpu, ")]
    assert headings == ["cpu, embedded, fp32", "cpu, embedded, fp32, 2 processes"]


def test_compiled_trainings_are_apart(printed: Print) -> None:
    plain = trained("own", 5)
    assert plain.training is not None
    store(replace(plain, training=replace(plain.training, compiled=True)), number=1)
    store(plain, number=2)
    headings = [line for line in printed().splitlines() if line.startswith("cpu, ")]
    assert headings == ["cpu, embedded, fp32", "cpu, embedded, fp32, compiled"]


def test_precisions_are_apart_whoever_asked_for_them(printed: Print) -> None:
    plain = trained("own", 5)
    assert plain.training is not None
    store(replace(plain, precision="fp32"), number=1)
    store(replace(plain, training=replace(plain.training, precision="bf16")), number=2)
    headings = [line for line in printed().splitlines() if line.startswith("cpu, ")]
    assert headings == ["cpu, embedded, bf16", "cpu, embedded, fp32"]


def test_a_task_has_its_own_name_where_one_test_trains_it(printed: Print) -> None:
    plain = trained("own", 5)
    tests = [replace(plain, id=f"test_own.py::{name}[cpu]") for name in ("test_a", "test_b")]
    store(tests[0])
    assert json.loads(printed("--format", "json"))[0]["tasks"][0]["name"] == "own"
    store(*tests, number=1)
    (suite,) = json.loads(printed("--format", "json"))
    assert [task["name"] for task in suite["tasks"]] == ["test_a", "test_b"]


def test_records_of_the_first_schema(printed: Print, tmp_path: Path) -> None:
    name = "20260301T000000Z-01JD8Z00000000000000000000.json"
    old = Path(__file__).parent / "golden" / "run_v1.json"
    open_store(".aibench").create(f"runs/2026/03/01/{name}", old.read_bytes())
    (suite,) = json.loads(printed("--format", "json"))
    (one,) = suite["tasks"]
    assert one["name"] == "image_classification"
    assert one["figures"]["epochs_to_quality"]["value"] >= 1
    assert one["figures"]["variation"]["why_open"] == "not in the record"


def test_no_trainings(printed: Print, tmp_path: Path) -> None:
    message = (
        f"no trainings in {tmp_path}/.aibench: run `pytest -m train --aibench-seeds=5`, "
        "or name the store with --store"
    )
    for entries in ((), (benchmark("t.py::test_load"),)):
        store(*entries, number=len(entries))
        with pytest.raises(UserError) as caught:
            printed()
        assert str(caught.value) == message


def test_a_damaged_record_is_named(printed: Print, capsys: pytest.CaptureFixture[str]) -> None:
    store(trained("own", 5))
    open_store(".aibench").create("runs/2026/01/01/20260101T000000Z-01X.json", b"{}")
    parser = argparse.ArgumentParser()
    tables.add_arguments(parser)
    tables.run(parser.parse_args([]))
    assert capsys.readouterr().err.startswith("left out: ")


def test_the_suite_need_not_be_at_hand(printed: Print, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "benchmarks", None)
    store(trained("image_generation", 3, 3, 3, 3, component="C2"))
    assert "\nAIBench: its report" in printed()
    (suite,) = json.loads(printed("--format", "json"))
    assert (suite["tasks"][0]["is_accepted"], suite["chosen"]) == (False, [])
    assert len(suite["published"]) == 17


def test_without_scikit_learn(printed: Print, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    store(*(trained(f"task {n}", *[n] * 4) for n in range(1, 7)))
    assert (
        "-: no clusters, they need scikit-learn: pip install 'pytest-aibench[suite]'; all that fit"
        " are chosen\n"
    ) in printed()


def test_lines_fit_100_columns(printed: Print) -> None:
    name = "a task with a name that is rather long"
    store(
        *(
            trained(f"{name} {n}", 1000 * n, 1001 * n, 50, 9, epoch_s=123.4, component=f"C1{n}")
            for n in range(1, 7)
        )
    )
    assert max(map(len, printed().splitlines())) <= 100


TABLES = """
cpu, embedded, fp32

run 01JD8Z00000000000000000000, started 2026-03-01T00:00:00+00:00, commit unknown

Cost of one training

id    task                    epoch    epochs    total     share    AIBench    AIBench    AIBench
                                                                     epochs      total      share
----  --------------------  -------  --------  -------  --------  ---------  ---------  ---------
C1    image_classification      2 s       4.0      8 s  0.0997 %       44.5   130.00 h     57.7 %
C2    image_generation          1 s       3.0      3 s  0.0374 %          -          -          -
C9    object_detection       1000 s       8.0   2.22 h    99.7 %        5.6     2.52 h     1.12 %
C16   learning_to_rank          1 s       9.7  9.667 s   0.121 %       22.8     1692 s    0.209 %
-     own                       2 s         -        -         -          -          -          -
the totals add up to 2.23 h
-: seed 0 did not reach top1 0.5 in 7 epochs, the last gave 0.1 (own)
AIBench: its report BenchCouncil-AIBench-2020-2, models at full size on a Titan RTX; shares of the
  225.41 h of all its components

Variation from seed to seed

id    task                    seeds    epochs      CV     95 % interval    ddof=0     AIBench
                                                                                       CV (n)
----  --------------------  -------  --------  ------  ----------------  --------  ----------
C1    image_classification        4         4     0 %        0 % to 0 %       0 %  1.12 % (5)
C2    image_generation            4         3     0 %        0 % to 0 %       0 %           -
C9    object_detection            1         8       -                 -         -    0 % (10)
C16   learning_to_rank            5   9 to 12  12.2 %  7.31 % to 36.3 %      11 %   1.9 % (4)
-     own                         1         7       -                 -         -           -
CV: standard deviation of the epochs to quality, estimated for all seeds (ddof=1), as a share of
  their mean; ddof=0: that of these seeds
-: it takes two seeds: add --aibench-seeds=5 (object_detection, own)

Complexity

id    task                    parameters    MACs per sample    epochs    samples/s
----  --------------------  ------------  -----------------  --------  -----------
C1    image_classification         1,000             20,000       4.0          100
C2    image_generation             1,000             20,000       3.0          200
C9    object_detection             1,000             20,000       8.0          0.2
C16   learning_to_rank             1,000             20,000       9.7          200
-     own                              -                  -         -          100
parameters: those that are learnt; MACs: multiply-accumulates of one answer, each is two FLOPs;
  samples/s: trained on, evaluation apart
-: not in the record (own)

Subset by AIBench's rule

id    task                    cluster    t-SNE      CV      metric    fits    chosen    AIBench
                                                          accepted                       chosen
----  --------------------  ---------  -------  ------  ----------  ------  --------  ---------
C1    image_classification          -        -     0 %         yes     yes       yes        yes
C2    image_generation              -        -     0 %          no      no        no         no
C9    object_detection              -        -       -         yes       -         -        yes
C16   learning_to_rank              -        -  12.2 %         yes      no        no        yes
-     own                           -        -       -         yes       -         -          -
fits: CV below 2 % on 4 seeds or more, and a widely accepted metric; chosen: of each cluster the one
  that fits and varies least, of equals the cheapest
-: no clusters, they need 6 tasks that differ and have all figures; 4 do; all that fit are chosen
-: too few seeds, run with --aibench-seeds=5 (object_detection, own)

Saving

subset                members                   costs    of all     saves
--------------------  ---------------------  --------  --------  --------
by the rule, here     image_classification        8 s    2.23 h    99.9 %
AIBench's, here       image_classification,    2.23 h    2.23 h  0.0374 %
                      object_detection,
                      learning_to_rank
AIBench's, published  C1, C9, C16            132.99 h  225.41 h      41 %
"""

MARKDOWN = """
## cpu, embedded, fp32

run 01JD8Z00000000000000000000, started 2026-03-01T00:00:00+00:00, commit unknown

### Cost of one training

| id   | task   |   epoch |   epochs |   total |   share |
|------|--------|---------|----------|---------|---------|
| -    | own    |     2 s |      4.0 |     8 s |   100 % |

- the totals add up to 8 s

### Variation from seed to seed

| id   | task   |   seeds |   epochs |   CV |   95 % interval |   ddof=0 |
|------|--------|---------|----------|------|-----------------|----------|
| -    | own    |       4 |        4 |  0 % |      0 % to 0 % |      0 % |

- CV: standard deviation of the epochs to quality, estimated for all seeds (ddof=1), as a share of their mean; ddof=0: that of these seeds

### Complexity

| id   | task   |   parameters |   MACs per sample |   epochs |   samples/s |
|------|--------|--------------|-------------------|----------|-------------|
| -    | own    |        1,000 |            20,000 |      4.0 |         100 |

- parameters: those that are learnt; MACs: multiply-accumulates of one answer, each is two FLOPs; samples/s: trained on, evaluation apart

### Subset by AIBench's rule

| id   | task   |   cluster |   t-SNE |   CV |   metric accepted |   fits |   chosen |
|------|--------|-----------|---------|------|-------------------|--------|----------|
| -    | own    |         - |       - |  0 % |               yes |    yes |      yes |

- fits: CV below 2 % on 4 seeds or more, and a widely accepted metric; chosen: of each cluster the one that fits and varies least, of equals the cheapest
- `-`: no clusters, they need 6 tasks that differ and have all figures; 1 do; all that fit are chosen

### Saving

| subset            | members   |   costs |   of all |   saves |
|-------------------|-----------|---------|----------|---------|
| by the rule, here | own       |     8 s |      8 s |     0 % |
"""  # noqa: E501
