"""The commands that talk to other tools: ``aibench export`` and ``aibench import``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_aibench.commands import add_store
from pytest_aibench.errors import UserError
from pytest_aibench.results.formats import EXPORTS, IMPORTS, exporter, importer_of

if TYPE_CHECKING:
    from pytest_aibench.results.schema import Run


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of ``aibench export``."""
    parser.add_argument("format", choices=EXPORTS, metavar="FORMAT", help=", ".join(EXPORTS))
    parser.add_argument(
        "runs",
        nargs="*",
        default=["latest"],
        metavar="RUN",
        help="files, run ids, or latest (default: latest)",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="PLACE",
        help="folder, or file where the format has one (default: print it)",
    )
    add_store(parser)


def run_export(parsed: argparse.Namespace) -> int:
    """Write runs in another tool's format, and say on stderr what it cannot express.

    Raises:
        UserError: There is no such run, nothing in it fits the format, or the file system refuses.
    """
    from pytest_aibench.results.locations import open_store
    from pytest_aibench.results.store import find_run, read_run

    store = open_store(parsed.store)
    exported = exporter(parsed.format)([read_run(find_run(store, run)) for run in parsed.runs])
    for line in exported.left_out:
        print(f"left out: {line}", file=sys.stderr)
    if not exported.files:
        raise UserError(f"the runs hold nothing for {parsed.format}: name other runs")
    if parsed.output is None:
        print(_only_text(parsed.format, exported.files), end="")
        return 0
    for path, text in _placed(exported.files, parsed.output).items():
        _write(path, text)
        print(f"wrote {path}")
    return 0


def _only_text(format_name: str, files: Mapping[str, str]) -> str:
    if len(files) > 1:
        raise UserError(f"{format_name} makes {len(files)} files: name a folder for them with -o")
    return next(iter(files.values()))


def _placed(files: Mapping[str, str], output: str) -> dict[Path, str]:
    """The texts by path: below the folder, or as the file that the output names."""
    names_folder = output.endswith(("/", os.sep)) or Path(output).is_dir()
    if len(files) == 1 and not names_folder:
        return {Path(output): _only_text("", files)}
    return {Path(output) / name: text for name, text in files.items()}


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8", errors="backslashreplace"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"cannot write {path}: {reason}; name another place with -o") from error


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of ``aibench import``."""
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help=f"JSON of {', '.join(IMPORTS)}"
    )
    add_store(parser)


def run_import(parsed: argparse.Namespace) -> int:
    """Store other tools' files as records; one that was imported before is left as it is.

    Raises:
        UserError: A file is unreadable or of no known format.
    """
    from pytest_aibench.results.locations import open_store
    from pytest_aibench.results.store import keep_run

    store = open_store(parsed.store)
    for path in parsed.files:
        run = _read(path)
        try:
            where, problem = keep_run(store, run)
            print(f"imported {path}: {len(run.benchmarks)} benchmarks, {where}")
            if problem:
                print(problem, file=sys.stderr)
        except FileExistsError:
            print(f"imported before: {path} is run {run.run_id}")
    return 0


def _read(path: Path) -> Run:
    """The file as a record.

    Raises:
        UserError: It is unreadable or of no known format.
    """
    import json

    known = ", ".join(IMPORTS)
    try:
        document = json.loads(path.read_bytes())
        importer = importer_of(document)
        run = importer.imported(document) if importer else None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"cannot read {path}: {reason}; name another file") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"cannot import {path} ({error}): give a whole file of {known}") from error
    if run is None:
        raise UserError(f"{path} is of no known format: give a file of {known}")
    return run
