"""The command ``aibench``: one function per subcommand, listed in one table."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_aibench import environment_command, mlperf_settings_command
from pytest_aibench.doctor import command as doctor_command
from pytest_aibench.errors import UserError


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand: its help, its arguments, and what it does, returning the exit status."""

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``aibench`` and return its exit status: 0 fine, 2 for a mistake in the command."""
    # Records may hold text that this terminal cannot print.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    parsed = _parser().parse_args(arguments)
    try:
        status = parsed.run(parsed)
        sys.stdout.flush()
    except UserError as error:
        print(f"aibench: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, like `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return int(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("aibench", description="Look at the records of AI benchmarks.")
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=command.help, description=command.help)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


class _Version(argparse.Action):
    """Looks the version up only when asked, because reading package metadata is slow."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"aibench {version('pytest-aibench')}")
        parser.exit()


def _no_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommand takes none."""


def _schema(parsed: argparse.Namespace) -> int:
    import json

    from pytest_aibench.results.schema import json_schema

    print(json.dumps(json_schema(), indent=2))
    return 0


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", nargs="?", default="latest", metavar="RUN", help="a file, a run id, or latest"
    )
    parser.add_argument("--store", default=".aibench", metavar="DIR", help="default: %(default)s")


def _show(parsed: argparse.Namespace) -> int:
    import shutil
    from pathlib import Path

    from pytest_aibench.report.terminal import not_judged_lines, problem_lines, summary_table
    from pytest_aibench.results.store import find_run, read_run

    run = read_run(find_run(Path(parsed.store), parsed.name))
    print(f"run {run.run_id}, started {run.started_at}")
    print(summary_table(run.benchmarks, shutil.get_terminal_size().columns))
    for line in (*not_judged_lines(run.benchmarks), *problem_lines(run.benchmarks), *run.notes):
        print(line)
    return 0


COMMANDS = {
    "doctor": Command(
        "say what disturbs measurements on this machine",
        doctor_command.add_arguments,
        doctor_command.run,
    ),
    "env": Command(
        "print what records say about this machine",
        environment_command.add_arguments,
        environment_command.run,
    ),
    "mlperf-settings": Command(
        "print the settings of MLPerf's LoadGen for a scenario",
        mlperf_settings_command.add_arguments,
        mlperf_settings_command.run,
    ),
    "schema": Command("print the JSON Schema of records", _no_arguments, _schema),
    "show": Command("print the summary of a stored run", _show_arguments, _show),
}

if __name__ == "__main__":
    raise SystemExit(main())
