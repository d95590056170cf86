"""The command ``aibench doctor``: what it measures, and its report for people."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_aibench.units import TIME, format_quantity

if TYPE_CHECKING:
    from pytest_aibench.doctor.advice import Finding, NotAvailable
    from pytest_aibench.doctor.noise import NoiseFloor


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


def report_lines(
    noise: NoiseFloor, findings: Sequence[Finding], hidden: Sequence[NotAvailable]
) -> Iterator[str]:
    """The whole report, line by line."""
    yield from _noise_lines(noise)
    yield ""
    yield from _finding_lines(findings)
    yield from _hidden_lines(hidden)


def _noise_lines(noise: NoiseFloor) -> Iterator[str]:
    """The noise floor: overhead, clock, and a row of lateness per server rate."""
    yield "The load generator alone, with a model that does nothing:"
    yield (
        f"  overhead  {_ns(noise.overhead_ns)} a query in single stream, of which "
        f"{_ns(noise.latency_p50_ns)} are in each latency"
    )
    step = noise.clock_resolution_ns
    resolution = "not seen to move" if step is None else f"resolution {_ns(step)} or better"
    yield f"  clock     {resolution}, {_ns(noise.clock_read_ns)} a reading"
    yield ""
    headers = ("server rate", "queries", "lateness p50", "p99", "max")
    rows = [
        (f"{at.rate_qps:g} queries/s", at.n_queries, _us(at.p50_us), _us(at.p99_us), _us(at.max_us))
        for at in noise.lateness
    ]
    from tabulate import tabulate

    align = ("left", *["right"] * (len(headers) - 1))
    table = tabulate(rows, headers, "simple", disable_numparse=True, colalign=align)
    yield from (f"  {line}" for line in table.splitlines())
    bound = format_quantity(noise.smallest_latency_bound_ms / 1e3, TIME)
    yield f"  A server's latency bound must be at least {bound} here: the generator is too late"
    yield "  for a tighter one, and its runs would be invalid."


def _finding_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Two lines per finding: what was seen, and what to do."""
    if not findings:
        yield "What could disturb a measurement: nothing found."
        return
    yield "What could disturb a measurement:"
    for finding in findings:
        yield f"  {finding.severity:7}  {finding.what}: {finding.seen}"
        yield f"           {finding.advice}"


def _hidden_lines(hidden: Sequence[NotAvailable]) -> Iterator[str]:
    """One line per reason, with what could not be looked at."""
    by_reason: dict[str, list[str]] = {}
    for item in hidden:
        by_reason.setdefault(item.reason, []).append(item.what)
    for reason, names in by_reason.items():
        yield f"Not available: {', '.join(names)} ({reason})."


def _ns(ns: float) -> str:
    return format_quantity(ns / 1e9, TIME)


def _us(us: float) -> str:
    return format_quantity(us / 1e6, TIME)
