"""The command ``aibench doctor``."""

from __future__ import annotations

import argparse
import math


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=5.0,
        metavar="N",
        help="how long to measure, about (default: %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(parsed: argparse.Namespace) -> int:
    """Measure the load generator alone, look at the machine, and print both."""
    from pytest_aibench.doctor import advice, noise, readings
    from pytest_aibench.doctor.text import report_lines
    from pytest_aibench.results.schema import to_json

    before = readings.moment()
    floor = noise.measure(parsed.seconds)
    findings, hidden = advice.examine(readings.read(before))
    if parsed.json:
        import json

        report = {"noise": floor, "findings": findings, "not_available": hidden}
        print(json.dumps(to_json(report), indent=2, allow_nan=False))
    else:
        print("\n".join(report_lines(floor, findings, hidden)))
    return 0


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above zero, like 5")
    return seconds
