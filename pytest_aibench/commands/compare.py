"""The commands that say what changed: ``aibench compare`` and ``aibench gate``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_aibench.commands import add_store

if TYPE_CHECKING:
    from pytest_aibench.regression.baseline import Policy
    from pytest_aibench.regression.gate import GateReport
    from pytest_aibench.results.index import Index
    from pytest_aibench.results.locations import Store
    from pytest_aibench.results.schema import Run

REGRESSED, INCONCLUSIVE, UNFIT = 1, 3, 4
"""Exit statuses beside 0 for fine and 2 for a mistake in the command."""


def add_gate_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of ``aibench gate``."""
    parser.add_argument(
        "session",
        nargs="?",
        default="latest",
        metavar="RUN",
        help="the run to judge (default: %(default)s)",
    )
    parser.add_argument(
        "--against", default="", metavar="REF", help="branch, tag or commit of the baseline"
    )
    _add_common(parser)


def run_gate(parsed: argparse.Namespace) -> int:
    """Hold a stored session against its history."""
    from pytest_aibench.regression.acceptance import read_acceptances
    from pytest_aibench.regression.ancestry import find_ancestry

    with _index(parsed) as (store, index):
        acceptances, _ = read_acceptances(store)
        ancestry = find_ancestry(Path.cwd(), parsed.against)
        policy = replace(
            _policy(parsed),
            ancestry=ancestry,
            acceptances=tuple(acceptances),
            source=str(ancestry),
        )
        return _judge(parsed, index, _runs(store, index, parsed.session), policy)


def add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of ``aibench compare``."""
    runs = "run ids, files, branches or commits, comma-separated, or latest"
    parser.add_argument("before", help=runs)
    parser.add_argument("after", nargs="?", default="latest", help="likewise (default: latest)")
    _add_common(parser)


def run_compare(parsed: argparse.Namespace) -> int:
    """Compare runs with the runs that are named as their baseline."""
    with _index(parsed) as (store, index):
        before = frozenset(run.run_id for run in _runs(store, index, parsed.before))
        policy = replace(_policy(parsed), only=before, source=parsed.before)
        return _judge(parsed, index, _runs(store, index, parsed.after), policy)


def _add_common(parser: argparse.ArgumentParser) -> None:
    add_store(parser)
    parser.add_argument(
        "--vary",
        default="",
        metavar="FACTORS",
        help="factors that may differ beside the commit, like sw.driver",
    )
    parser.add_argument(
        "--allow-confounded", action="store_true", help="judge even where other factors differ"
    )
    parser.add_argument(
        "--strict", action="store_true", help=f"exit with {INCONCLUSIVE} if anything is undecided"
    )
    parser.add_argument("--markdown", action="store_true", help="print Markdown")


@contextmanager
def _index(parsed: argparse.Namespace) -> Iterator[tuple[Store, Index]]:
    from pytest_aibench.commands.store import open_index
    from pytest_aibench.results.locations import open_store

    store = open_store(parsed.store)
    with open_index(store) as index:
        yield store, index


def _policy(parsed: argparse.Namespace) -> Policy:
    from pytest_aibench.regression.baseline import Policy
    from pytest_aibench.results.identity import DEFAULT_VARY

    words = filter(None, map(str.strip, parsed.vary.split(",")))
    return Policy(vary=(*DEFAULT_VARY, *words), allow_confounded=parsed.allow_confounded)


def _runs(store: Store, index: Index, names: str) -> list[Run]:
    """Sessions by comma-separated names.

    Raises:
        UserError: Nothing is called so.
    """
    from pytest_aibench.results.store import find_run, read_run

    runs: list[Run] = []
    for name in map(str.strip, names.split(",")):
        files = index.files_of(name)
        paths = map(store.fetch, files) if files else [find_run(store, name)]
        runs += map(read_run, paths)
    return runs


def _judge(parsed: argparse.Namespace, index: Index, runs: Sequence[Run], policy: Policy) -> int:
    from pytest_aibench.regression.gate import gate

    report = gate(runs, index, policy)
    _print(report, parsed.markdown)
    for name, why in index.skipped().items():
        print(f"left out: {name}: {why}", file=sys.stderr)
    return exit_status(report, parsed.strict)


def exit_status(report: GateReport, strict: bool) -> int:
    """What the command's caller needs to know."""
    from pytest_aibench.regression.comparison import Change

    if report.regressed:
        return REGRESSED
    if report.having(Change.INVALID) or report.having(Change.CONFOUNDED):
        return UNFIT
    undecided = strict and report.having(Change.INCONCLUSIVE)
    return INCONCLUSIVE if undecided else 0


def _print(report: GateReport, markdown: bool) -> None:
    import shutil

    from pytest_aibench.report.comparison import gate_lines, gate_markdown

    if markdown:
        print(gate_markdown(report), end="")
    else:
        width = shutil.get_terminal_size().columns
        print("\n".join(gate_lines(report, width, vary_option="--vary")))
