"""The subcommands of ``aibench`` that work on stored records, and the option they share."""

from __future__ import annotations

import argparse
import os


def add_store(parser: argparse.ArgumentParser) -> None:
    """Define ``--store``, which takes what ``--aibench-store`` of pytest takes."""
    parser.add_argument(
        "--store",
        default=os.environ.get("AIBENCH_STORE") or ".aibench",
        metavar="PLACE",
        help="folder or URL of the records (default: %(default)s)",
    )
