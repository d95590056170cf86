"""``aibench env``: the groups of a record's environment, as a table and as JSON."""

from __future__ import annotations

import json

import pytest

from pytest_aibench.cli import main
from pytest_aibench.results import environment
from pytest_aibench.results.schema import Environment

FACTS = Environment(
    hw={
        "cpu_model": "a processor",
        "cpu_quota": 2.54321,
        "cpu_usable": 16,
        "gpu_count": 1,
        "gpu_product": "NVIDIA L4",
        "gpu_mig": ["1g.5gb", "2g.10gb"],
    },
    unit={"hostname": "here"},
    sw={"python": "CPython 3.12.1"},
    subject={"dirty": True, "parents": []},
    harness={},
    state={
        "before": {"load_1min": 9.0},
        "after": {"load_1min": 0.25, "gpus": [{"power_w": 61.5}]},
        "unavailable": {"git": "not in a git repository"},
    },
)


@pytest.fixture(autouse=True)
def _known_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def collect(rootdir: object, harness: object, state_before: object) -> Environment:
        assert (harness, state_before) == ({}, {})
        return FACTS

    monkeypatch.setattr(environment, "collect", collect)


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env"]) == 0
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "group    fact             value                               role",
        "-------  ---------------  ----------------------------------  --------",
        "hw       cpu_model        a processor                         identity",
        "         cpu_quota        2.543                               identity",
        "         cpu_usable       16                                  identity",
        "         gpu_count        1                                   noted",
        "         gpu_product      NVIDIA L4                           identity",
        "         gpu_mig          1g.5gb, 2g.10gb                     noted",
        "unit     hostname         here                                unit",
        "sw       python           CPython 3.12.1                      factor",
        "subject  dirty            yes                                 factor",
        "         parents          none                                factor",
        "state    load_1min        0.25                                state",
        "         gpus.0.power_w   61.5                                state",
        "         unavailable.git  not in a git repository             state",
        "series   hardware.cpu     cpu-a-processor-2.54321c            identity",
        "         hardware.gpu 0   NVIDIA-L4                           identity",
        "         setup            scale, effort, precision, harness,  identity",
        "                          dataset, scenario, target, seeds,",
        "                          training",
    ]


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "--json"]) == 0
    groups = json.loads(capsys.readouterr().out)
    assert list(groups) == ["hw", "unit", "sw", "subject", "harness", "state", "series"]
    assert groups["hw"] == FACTS.hw
    assert groups["series"] == {
        "hardware": {"cpu": "cpu-a-processor-2.54321c", "gpu 0": "NVIDIA-L4"},
        "setup": [
            "scale",
            "effort",
            "precision",
            "harness",
            "dataset",
            "scenario",
            "target",
            "seeds",
            "training",
        ],
    }
    assert groups["state"] == {
        "load_1min": 0.25,
        "gpus": [{"power_w": 61.5}],
        "unavailable": {"git": "not in a git repository"},
    }


def test_this_machine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.undo()
    assert main(["env", "--json"]) == 0
    groups = json.loads(capsys.readouterr().out)
    assert groups["hw"]["cpu_threads"] >= 1
    assert "pytest" in groups["sw"]
