"""The command ``aibench data``: which data sets there are, and fetching what they are read from."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from pytest_aibench.errors import UserError

if TYPE_CHECKING:
    from pytest_aibench.datasets import Carrier

SUITE = "benchmarks.components"

_LICENCE_WIDTH = 32
"""So that a line has 100 columns at most."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define ``aibench data list`` and ``aibench data fetch``."""
    what = parser.add_subparsers(metavar="WHAT", required=True)
    listing = what.add_parser("list", help="name the data sets, and what they are read from")
    listing.set_defaults(data=_list)
    fetching = what.add_parser("fetch", help="fetch what data sets are read from")
    fetching.add_argument("names", nargs="*", metavar="NAME", help="data sets (default: all)")
    fetching.set_defaults(data=_fetch)
    for subparser in (listing, fetching):
        subparser.add_argument(
            "--from",
            action="append",
            dest="modules",
            metavar="MODULE",
            help="module or package that registers data sets (default: the suite, in its folder)",
        )


def run(parsed: argparse.Namespace) -> int:
    """List or fetch; 1 if something could not be fetched."""
    from pytest_aibench.datasets import registered

    sys.path.insert(0, os.getcwd())
    _import_all(parsed.modules)
    return int(parsed.data(parsed, registered()))


def _import_all(modules: Sequence[str] | None) -> None:
    """Import the modules that were named, else the suite where it is; data sets register then."""
    for module in modules or (SUITE,):
        try:
            _import_with_parts(module)
        except ImportError as error:
            suite_is_elsewhere = modules is None and error.name in (SUITE, SUITE.partition(".")[0])
            if not suite_is_elsewhere:
                raise UserError(
                    f"cannot import {module} ({error}): install what it needs, "
                    "or name what registers your data sets with --from"
                ) from None


def _import_with_parts(name: str) -> None:
    module = import_module(name)
    for part in iter_modules(getattr(module, "__path__", ()), f"{name}."):
        import_module(part.name)


def _list(_: argparse.Namespace, known: Mapping[str, Sequence[Carrier]]) -> int:
    from tabulate import tabulate

    from pytest_aibench.datasets.base import folder_of

    rows = [row for name, carriers in known.items() for row in _rows(name, carriers)]
    headers = ("data set", "carrier", "size", "fetched", "licence")
    widths = [None, None, None, None, _LICENCE_WIDTH]
    print(tabulate(rows, headers, "simple", disable_numparse=True, maxcolwidths=widths))
    if any(map(folder_of, known)):
        print("DIR: the folder with original data sets, --aibench-data DIR")
    return 0


def _rows(name: str, carriers: Sequence[Carrier]) -> Iterable[tuple[str, ...]]:
    from pytest_aibench.datasets.base import folder_of

    if not carriers:
        folder = folder_of(name)
        return [(name, f"DIR/{folder}" if folder else "none needed", "", "", "")]
    return [
        (name, str(one), _mb(one.size_mb), "yes" if one.is_cached() else "no", one.licence)
        for one in carriers
    ]


def _fetch(parsed: argparse.Namespace, known: Mapping[str, Sequence[Carrier]]) -> int:
    from pytest_aibench.datasets.base import folder_of
    from pytest_aibench.datasets.carriers import carriers_dir

    for name in parsed.names:
        if name not in known:
            raise UserError(
                f"unknown data set {name!r}: use one of {', '.join(known)}, "
                "or name the module that registers it with --from"
            )
    mounted = [name for name in parsed.names if folder_of(name)]
    if mounted:
        raise UserError(
            f"original data are not fetched ({', '.join(mounted)}): put them into a folder for "
            "--aibench-data, see docs/original-data.md"
        )
    wanted = dict.fromkeys(one for name in parsed.names or known for one in known[name])
    missing = [one for one in wanted if not one.is_cached()]
    if not missing:
        print(f"nothing to fetch: all is in {carriers_dir()}")
        return 0
    size = _mb(sum(one.size_mb for one in missing))
    print(f"fetching {size} to {carriers_dir()}: {', '.join(map(str, missing))}")
    fetched = list(map(_fetch_one, missing))
    return 0 if all(fetched) else 1


def _fetch_one(carrier: Carrier) -> bool:
    """Fetch a carrier; what hinders it is said, so that others can still be fetched."""
    try:
        carrier.fetch(partial(_show, carrier))
    except UserError as error:
        print(f"aibench: {error}", file=sys.stderr)
        return False
    print(f"fetched {carrier} ({_mb(carrier.size_mb)})")
    return True


def _show(carrier: Carrier, fetched_mb: float) -> None:
    """Rewrite one line, on a terminal only."""
    if sys.stderr.isatty():
        share = min(1.0, fetched_mb / carrier.size_mb)
        print(f"{carrier}: {share:.0%} of {_mb(carrier.size_mb)}", end="\r", file=sys.stderr)


def _mb(size_mb: float) -> str:
    return f"{size_mb:.1f} MB"
