"""Where options come from, and which source wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_aibench.errors import UserError
from pytest_aibench.options import Settings, read_settings

VALUES = {
    "device": ("cpu,auto", "all", "cuda", "auto"),
    "precision": ("bf16", "int8", "all", "fp32"),
    "effort": ("official", "quick", "standard", "standard"),
    "inconclusive": ("pass", "skip", "fail", "fail"),
    "store": ("from_flag", "from_env", "from_ini", ".aibench"),
}
"""Of each option a value for the command line, the environment and the ini file; the default."""


@pytest.fixture
def bare(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project without any option set."""
    monkeypatch.delenv("AIBENCH_DEVICE")
    monkeypatch.delenv("AIBENCH_EFFORT")
    return project


def settings(project: pytest.Pytester, *arguments: str) -> Settings:
    return read_settings(project.parseconfig(*arguments))


@pytest.mark.parametrize("name", VALUES)
def test_command_line_goes_before_environment_before_ini_file(
    bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    flag, environment, ini, default = VALUES[name]
    expected = {key: str(bare.path / key) if name == "store" else key for key in VALUES[name]}

    assert getattr(settings(bare), name) == expected[default]
    bare.makeini(f"[pytest]\naibench_{name} = {ini}")
    assert getattr(settings(bare), name) == expected[ini]
    monkeypatch.setenv(f"AIBENCH_{name.upper()}", environment)
    assert getattr(settings(bare), name) == expected[environment]
    assert getattr(settings(bare, f"--aibench-{name}={flag}"), name) == expected[flag]


@pytest.mark.parametrize(
    ("flag", "environment", "ini", "kept"),
    [
        ([], None, "false", True),
        ([], None, "true", False),
        ([], "0", "true", True),
        ([], "1", "false", False),
        (["--aibench-no-store"], "0", "false", False),
    ],
)
def test_no_store(
    bare: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    flag: list[str],
    environment: str | None,
    ini: str,
    kept: bool,
) -> None:
    bare.makeini(f"[pytest]\naibench_no_store = {ini}")
    if environment is not None:
        monkeypatch.setenv("AIBENCH_NO_STORE", environment)
    assert (settings(bare, *flag).store is not None) is kept


def test_seeds_are_counted(bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(bare).seeds == 1
    bare.makeini("[pytest]\naibench_seeds = 3")
    assert settings(bare).seeds == 3
    monkeypatch.setenv("AIBENCH_SEEDS", "4")
    assert settings(bare).seeds == 4
    assert settings(bare, "--aibench-seeds=5").harness()["seeds"] == "5"


def test_the_folder_of_original_data_is_relative_to_the_root_folder(
    bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings(bare).data is None
    bare.makeini("[pytest]\naibench_data = originals")
    assert settings(bare).data == bare.path / "originals"
    monkeypatch.setenv("AIBENCH_DATA", "/mnt/data")
    assert settings(bare).data == Path("/mnt/data")


def test_both_scales(bare: pytest.Pytester) -> None:
    assert settings(bare).scale == "embedded"
    assert settings(bare, "--aibench-scale=full").harness()["scale"] == "full"


@pytest.mark.parametrize("seeds", ["0", "-1", "1.5", "some"])
def test_no_seeds_are_refused(bare: pytest.Pytester, seeds: str) -> None:
    with pytest.raises(UserError) as error:
        settings(bare, f"--aibench-seeds={seeds}")
    assert str(error.value) == f"--aibench-seeds={seeds}: give a number of seeds, 1 or more"


def test_ini_options_may_stand_in_pyproject(bare: pytest.Pytester) -> None:
    bare.makepyprojecttoml('[tool.pytest.ini_options]\naibench_effort = "quick"')
    assert settings(bare).effort == "quick"


def test_the_store_is_relative_to_the_root_folder(bare: pytest.Pytester) -> None:
    bare.makeini("[pytest]\naibench_store = records")
    assert settings(bare, str(bare.mkdir("sub"))).store == str(bare.path / "records")


def test_help_names_all_options(bare: pytest.Pytester) -> None:
    bare.runpytest("--help").stdout.fnmatch_lines(
        [
            "AI benchmarks (pytest-aibench):",
            "  --aibench-device=SPEC",
            "*devices: auto, cpu, cuda, cuda:1, all, or a comma list",
            "*(default: auto)",
            "  --aibench-precision=SPEC",
            "  --aibench-scale=SCALE",
            "  --aibench-effort=EFFORT",
            "  --aibench-store=PLACE",
            "  --aibench-inconclusive=POLICY",
            "  --aibench-no-store *",
            "  --device=SPEC *the same as --aibench-device",
        ]
    )


@pytest.mark.parametrize("option", ["effort", "inconclusive", "scale"])
@pytest.mark.parametrize("source", ["flag", "environment", "ini"])
def test_a_value_that_an_option_cannot_have(
    bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, option: str, source: str
) -> None:
    arguments = []
    if source == "flag":
        arguments = [f"--aibench-{option}=bogus"]
    elif source == "environment":
        monkeypatch.setenv(f"AIBENCH_{option.upper()}", "bogus")
    else:
        bare.makeini(f"[pytest]\naibench_{option} = bogus")

    result = bare.runpytest(*arguments)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *aibench-{option}=bogus: use one of *"])
    assert len(result.stderr.str().strip().splitlines()) == 1
