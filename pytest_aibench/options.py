"""The plugin's options: one table for command line, environment and ini file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_aibench.errors import UserError
from pytest_aibench.results.locations import is_url

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True, slots=True)
class Option:
    """An option of the plugin; on the command line ``--aibench-NAME``.

    ``bare`` is what it stands for without a value, where it may have none.
    Precedence: command line, environment (``AIBENCH_NAME``), ini file (``aibench_name``), default.
    """

    name: str
    default: str
    metavar: str
    help: str
    choices: tuple[str, ...] = ()
    bare: str = ""

    @property
    def flag(self) -> str:
        """``--aibench-store``."""
        return f"--aibench-{self.name}"

    @property
    def key(self) -> str:
        """Name in the ini file and on the parsed command line: ``aibench_store``."""
        return f"aibench_{self.name.replace('-', '_')}"


OPTIONS = (
    Option("device", "auto", "SPEC", "devices: auto, cpu, cuda, cuda:1, all, or a comma list"),
    Option("precision", "fp32", "SPEC", "precisions: fp32, bf16, fp16, int8, all, or a comma list"),
    Option(
        "scale",
        "embedded",
        "SCALE",
        "size of the suite's models and data: embedded, or full for the papers' own",
        ("embedded", "full"),
    ),
    Option("data", "", "DIR", "folder with original data sets, which scale full reads"),
    Option(
        "effort",
        "standard",
        "EFFORT",
        "how long loads run: quick, standard or official",
        ("quick", "standard", "official"),
    ),
    Option(
        "mode",
        "submission",
        "MODE",
        "what benchmarks of inference run: accuracy, performance, or submission for both",
        ("submission", "accuracy", "performance"),
    ),
    Option("mlperf-logs", "", "DIR", "folder for logs in the format of MLPerf's LoadGen"),
    Option("user-conf", "", "FILE", "LoadGen's user.conf: its settings go before the tests'"),
    Option("seeds", "1", "N", "on how many seeds a task is trained"),
    Option("rcp", "", "FILE", "trainings that converge faster than these references are invalid"),
    Option("pictures", "", "DIR", "folder for pictures of what trained models answer"),
    Option("store", ".aibench", "PLACE", "folder of records, relative to the root folder, or URL"),
    Option("group", "auto", "ID", "name that the shards of one session share; auto: the CI run's"),
    Option(
        "compare",
        "",
        "REF",
        "fail benchmarks that got worse than the runs on REF; auto: the default branch",
        bare="auto",
    ),
    Option(
        "calibrate",
        "",
        "N",
        "run benchmarks N times, without a number 5, and write the bounds of this hardware",
        bare="5",
    ),
    Option("vary", "", "FACTORS", "factors that may differ from the baseline, like sw.driver"),
    Option(
        "inconclusive",
        "fail",
        "POLICY",
        "what an undecided benchmark becomes: fail, pass or skip",
        ("fail", "pass", "skip"),
    ),
)
FEWEST_RUNS = 3
"""From which bounds are calibrated: two would give margins of several hundred spreads."""

NO_STORE = "aibench_no_store"
AUDIT = "aibench_audit"
RAW = "aibench_raw"
RESUME = "aibench_resume"
COMPILE = "aibench_compile"
FLAGS = {
    NO_STORE: "keep no record",
    AUDIT: "check that the speed holds for one sample repeated and for other seeds",
    RAW: "keep the latency of every query, in a file beside the record",
    RESUME: "go on with trainings that were interrupted, and keep their state after each epoch",
    COMPILE: "have torch compile the models that are trained, with their losses",
}


class Launch(NamedTuple):
    """Which of the processes that torchrun started this one is.

    Attributes:
        rank: Its number among all; the first, 0, is the one that shows and writes.
        local_rank: Its number on this machine, and that of its GPU.
        processes: How many there are.
    """

    rank: int = 0
    local_rank: int = 0
    processes: int = 1

    @property
    def follows(self) -> bool:
        """Whether another process shows and writes."""
        return self.rank > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options in force.

    Attributes:
        store: Folder or URL for records; None when none are kept.
        group: What the sessions of one sharded run share; empty for a session of its own.
        compare: Branch, tag or commit whose runs are the baseline; empty for no comparison.
        calibrate: How often benchmarks run to calibrate their bounds; 0 when they are judged.
        vary: Factors that may differ from the baseline, beside the commit.
        audit: Check that the speed holds for one sample repeated and for other seeds.
        raw: Keep the latency of every query, in a file beside the record.
        mode: What benchmarks of inference run.
        mlperf_logs: Folder for logs in the format of MLPerf's LoadGen; None for none.
        user_conf: LoadGen's ``user.conf``; None for none.
        seeds: On how many seeds a task is trained.
        rcp: Reference convergence points; None for none.
        pictures: Folder for pictures of what trained models answer; None for none.
        data: Folder with original data sets; None for none.
        resume: Go on with trainings that were interrupted.
        compile: Have torch compile what trains.
        launch: What torchrun says of this process.
        given: Names of options that the command line or the environment sets: they are meant for
            this very session, and checked at once.
    """

    device: str
    precision: str
    scale: str
    effort: str
    inconclusive: str
    store: str | None
    group: str
    compare: str
    calibrate: int
    vary: tuple[str, ...]
    audit: bool
    raw: bool
    mode: str
    mlperf_logs: Path | None
    user_conf: Path | None
    seeds: int
    rcp: Path | None
    pictures: Path | None
    data: Path | None
    resume: bool
    compile: bool
    launch: Launch
    given: frozenset[str]

    @property
    def store_name(self) -> str:
        """The folder's name, or the URL."""
        store = self.store or ""
        return store if is_url(store) else Path(store).name

    def harness(self) -> dict[str, str]:
        """The settings that shape results, for the record."""
        names = ("device", "precision", "scale", "effort", "mode", "inconclusive")
        audit = "yes" if self.audit else "no"
        others = {"seeds": str(self.seeds), "audit": audit}
        return {**{name: getattr(self, name) for name in names}, **others}


def add_options(parser: pytest.Parser) -> None:
    """Define the options and their ini twins."""
    group = parser.getgroup("aibench", "AI benchmarks (pytest-aibench)")
    for option in OPTIONS:
        text = f"{option.help} (default: {option.default or 'none'})"
        valueless = {"nargs": "?", "const": option.bare} if option.bare else {}
        group.addoption(
            option.flag,
            dest=option.key,
            default=None,
            metavar=option.metavar,
            help=text,
            **valueless,
        )
        parser.addini(option.key, f"see {option.flag}", default=None)
    for key, text in FLAGS.items():
        flag = "--" + key.replace("_", "-")
        group.addoption(flag, dest=key, action="store_true", default=None, help=text)
        parser.addini(key, f"see {flag}", type="bool", default=False)


def add_device_alias(parser: pytest.Parser) -> None:
    """Add ``--device`` for ``--aibench-device`` unless a plugin or conftest owns it already."""
    _, unknown = parser.parse_known_and_unknown_args(["--device=x"])
    if "--device=x" in unknown:
        device = OPTIONS[0]
        parser.getgroup("aibench").addoption(
            "--device",
            dest=device.key,
            default=None,
            metavar=device.metavar,
            help=f"the same as {device.flag}",
        )


def read_settings(config: pytest.Config) -> Settings:
    """The options in force for a session.

    Raises:
        UserError: An option has a value it cannot have.
    """
    found = {option.name: _value(config, option) for option in OPTIONS}
    given = {option.name for option in OPTIONS if _session_value(config, option)}
    values = {option.name: found[option.name] or option.default for option in OPTIONS}
    launch, drawn = _launch(), values["pictures"]
    keeps_none = launch.follows or _flag(config, NO_STORE)
    store = None if keeps_none else _location(values["store"], config.rootpath)
    if launch.processes > 1:
        _refuse_out_of_step(config, values)
    if values["compare"] and store is None:
        raise UserError("--aibench-compare needs records: leave out --aibench-no-store")
    return Settings(
        device=values["device"],
        precision=values["precision"],
        scale=values["scale"],
        effort=values["effort"],
        inconclusive=values["inconclusive"],
        store=store,
        group=_ci_run() if values["group"] == "auto" else values["group"],
        compare=values["compare"],
        calibrate=_runs(values["calibrate"]),
        vary=tuple(filter(None, map(str.strip, values["vary"].split(",")))),
        audit=_flag(config, AUDIT),
        raw=_flag(config, RAW),
        mode=values["mode"],
        mlperf_logs=config.rootpath / logs if (logs := values["mlperf-logs"]) else None,
        user_conf=config.rootpath / conf if (conf := values["user-conf"]) else None,
        seeds=_count(values["seeds"]),
        rcp=config.rootpath / points if (points := values["rcp"]) else None,
        pictures=config.rootpath / drawn if drawn and not launch.follows else None,
        data=config.rootpath / mounted if (mounted := values["data"]) else None,
        resume=_flag(config, RESUME),
        compile=_flag(config, COMPILE),
        launch=launch,
        given=frozenset(given),
    )


def _launch() -> Launch:
    words = [os.environ.get(name, "") for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE")]
    return Launch(*map(int, words)) if all(map(str.isdecimal, words)) else Launch()


def _refuse_out_of_step(config: pytest.Config, values: Mapping[str, str]) -> None:
    """Refuse what several processes could not do in step."""
    if getattr(config.option, "numprocesses", None):
        raise UserError("torchrun and xdist do not go together: leave out -n")
    if _flag(config, RESUME):
        raise UserError("--aibench-resume keeps the state of one process: leave out torchrun")
    for name in ("compare", "calibrate"):
        if values[name]:
            raise UserError(
                f"--aibench-{name} runs benchmarks again, which the processes of torchrun would "
                "not do in step: leave it out, and see 'aibench compare'"
            )


def _value(config: pytest.Config, option: Option) -> str | None:
    value: str | None = _session_value(config, option)
    if not value and _are_defined(config):
        value = config.getini(option.key)
    if value and option.choices and value not in option.choices:
        raise UserError(f"{option.flag}={value}: use one of {', '.join(option.choices)}")
    return value


def _runs(calibrate: str) -> int:
    if not calibrate:
        return 0
    if not calibrate.isdecimal() or int(calibrate) < FEWEST_RUNS:
        raise UserError(
            f"--aibench-calibrate={calibrate}: give a number of runs, {FEWEST_RUNS} or more; "
            "a path must stand before --aibench-calibrate, or after a '='"
        )
    return int(calibrate)


def _count(seeds: str) -> int:
    if not seeds.isdecimal() or int(seeds) < 1:
        raise UserError(f"--aibench-seeds={seeds}: give a number of seeds, 1 or more")
    return int(seeds)


def _location(store: str, root: Path) -> str:
    return store if is_url(store) else str(root / store)


def _ci_run() -> str:
    """What tells a run of a CI workflow from others, its re-runs included; empty elsewhere."""
    run, attempt = (os.environ.get(f"GITHUB_RUN_{name}", "") for name in ("ID", "ATTEMPT"))
    return f"github-{run}-{attempt}" if run else ""


def _session_value(config: pytest.Config, option: Option) -> str | None:
    value: str | None = getattr(config.option, option.key, None)
    return value or _environment(option.key)


def _are_defined(config: pytest.Config) -> bool:
    """Whether the options are: the plugin leaves them out where nobody names one."""
    return hasattr(config.option, NO_STORE)


def _flag(config: pytest.Config, key: str) -> bool:
    if not _are_defined(config):
        return False
    if config.getoption(key):
        return True
    word = _environment(key)
    return word != "0" if word else bool(config.getini(key))


def _environment(key: str) -> str:
    return os.environ.get(key.upper(), "")
