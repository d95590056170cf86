"""The plugin's options: one table for command line, environment and ini file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_aibench.errors import UserError

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True, slots=True)
class Option:
    """An option of the plugin; on the command line ``--aibench-NAME``.

    Precedence: command line, environment (``AIBENCH_NAME``), ini file (``aibench_name``), default.
    """

    name: str
    default: str
    metavar: str
    help: str
    choices: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """``--aibench-store``."""
        return f"--aibench-{self.name}"

    @property
    def key(self) -> str:
        """Name in the ini file and on the parsed command line: ``aibench_store``."""
        return f"aibench_{self.name}"


OPTIONS = (
    Option("device", "auto", "SPEC", "devices: auto, cpu, cuda, cuda:1, all, or a comma list"),
    Option("precision", "fp32", "SPEC", "precisions: fp32, bf16, fp16, all, or a comma list"),
    Option("scale", "embedded", "SCALE", "size of the suite's models and data", ("embedded",)),
    Option(
        "effort",
        "standard",
        "EFFORT",
        "how long loads run: quick, standard or official",
        ("quick", "standard", "official"),
    ),
    Option("store", ".aibench", "DIR", "folder for the records, relative to the root folder"),
    Option(
        "inconclusive",
        "fail",
        "POLICY",
        "what an undecided benchmark becomes: fail, pass or skip",
        ("fail", "pass", "skip"),
    ),
)
NO_STORE = "aibench_no_store"
AUDIT = "aibench_audit"
FLAGS = {
    NO_STORE: "keep no record",
    AUDIT: "check that the speed holds for one sample repeated and for other seeds",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options in force.

    Attributes:
        store: Folder for records; None when none are kept.
        audit: Check that the speed holds for one sample repeated and for other seeds.
        given: Names of options that the command line or the environment sets: they are meant for
            this very session, and checked at once.
    """

    device: str
    precision: str
    scale: str
    effort: str
    inconclusive: str
    store: Path | None
    audit: bool
    given: frozenset[str]

    def harness(self) -> dict[str, str]:
        """The settings that shape results, for the record."""
        names = ("device", "precision", "scale", "effort", "inconclusive")
        audit = "yes" if self.audit else "no"
        return {**{name: getattr(self, name) for name in names}, "audit": audit}


def add_options(parser: pytest.Parser) -> None:
    """Define the options and their ini twins."""
    group = parser.getgroup("aibench", "AI benchmarks (pytest-aibench)")
    for option in OPTIONS:
        text = f"{option.help} (default: {option.default})"
        group.addoption(
            option.flag, dest=option.key, default=None, metavar=option.metavar, help=text
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
    store = None if _flag(config, NO_STORE) else config.rootpath / values["store"]
    return Settings(
        device=values["device"],
        precision=values["precision"],
        scale=values["scale"],
        effort=values["effort"],
        inconclusive=values["inconclusive"],
        store=store,
        audit=_flag(config, AUDIT),
        given=frozenset(given),
    )


def _value(config: pytest.Config, option: Option) -> str | None:
    value: str | None = _session_value(config, option)
    if not value and _are_defined(config):
        value = config.getini(option.key)
    if value and option.choices and value not in option.choices:
        raise UserError(f"{option.flag}={value}: use one of {', '.join(option.choices)}")
    return value


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
