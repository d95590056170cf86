"""The command ``aibench``: one function per subcommand, listed in one table."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_aibench.commands import (
    ab,
    add_store,
    compare,
    data,
    doctor,
    environment,
    exchange,
    history,
    mlperf_settings,
    report,
    tables,
)
from pytest_aibench.commands import store as stores
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
    add_store(parser)


def _show(parsed: argparse.Namespace) -> int:
    import shutil

    from pytest_aibench.report.terminal import not_judged_lines, problem_lines, summary_table
    from pytest_aibench.results.locations import open_store
    from pytest_aibench.results.store import find_run, read_run

    run = read_run(find_run(open_store(parsed.store), parsed.name))
    print(f"run {run.run_id}, started {run.started_at}")
    print(summary_table(run.benchmarks, shutil.get_terminal_size().columns))
    for line in (*not_judged_lines(run.benchmarks), *problem_lines(run.benchmarks), *run.notes):
        print(line)
    return 0


COMMANDS = {
    "ab": Command(
        "compare two interpreters, revisions or environments",
        ab.add_arguments,
        ab.run,
    ),
    "accept": Command(
        "note an intended change, so that it fails no gate",
        history.add_accept_arguments,
        history.run_accept,
    ),
    "compare": Command(
        "compare runs: what changed, and by how much",
        compare.add_compare_arguments,
        compare.run_compare,
    ),
    "data": Command(
        "list data sets, and fetch what they are read from",
        data.add_arguments,
        data.run,
    ),
    "doctor": Command(
        "say what disturbs measurements on this machine",
        doctor.add_arguments,
        doctor.run,
    ),
    "env": Command(
        "print what records say about this machine",
        environment.add_arguments,
        environment.run,
    ),
    "export": Command(
        "write runs in the format of another tool",
        exchange.add_export_arguments,
        exchange.run_export,
    ),
    "gate": Command(
        "hold a stored run against its history",
        compare.add_gate_arguments,
        compare.run_gate,
    ),
    "gc": Command(
        "delete what retention does not keep",
        stores.add_gc_arguments,
        stores.run_gc,
    ),
    "history": Command(
        "say when figures changed, and what else changed then",
        history.add_history_arguments,
        history.run_history,
    ),
    "import": Command(
        "make records of another tool's files",
        exchange.add_import_arguments,
        exchange.run_import,
    ),
    "index": Command(
        "take new records into the index, and name those left out",
        stores.add_index_arguments,
        stores.run_index,
    ),
    "mlperf-settings": Command(
        "print the settings of MLPerf's LoadGen for a scenario",
        mlperf_settings.add_arguments,
        mlperf_settings.run,
    ),
    "push": Command(
        "send records that wait for their store",
        stores.add_push_arguments,
        stores.run_push,
    ),
    "report": Command(
        "write a page of all records that works offline",
        report.add_arguments,
        report.run,
    ),
    "schema": Command("print the JSON Schema of records", _no_arguments, _schema),
    "show": Command("print the summary of a stored run", _show_arguments, _show),
    "tables": Command(
        "print what trainings cost, and what a subset saves",
        tables.add_arguments,
        tables.run,
    ),
}

if __name__ == "__main__":
    raise SystemExit(main())
