"""Writing the files that MLPerf's official LoadGen leaves behind, from a run of our own."""

from __future__ import annotations

from pathlib import Path

from pytest_aibench.loadgen.mlperf_accuracy import accuracy_text
from pytest_aibench.loadgen.mlperf_detail import detail_text
from pytest_aibench.loadgen.mlperf_results import results_of
from pytest_aibench.loadgen.mlperf_run import LoggedRun
from pytest_aibench.loadgen.mlperf_summary import summary_text
from pytest_aibench.loadgen.mlperf_trace import write_trace

PREFIX = "mlperf_log_"


def write_logs(folder: Path, run: LoggedRun) -> None:
    """Write the summary, the detail log and the accuracy log, and the trace of known samples.

    Args:
        folder: Where to; made if need be, and files of the same names are replaced.
        run: The run.

    Raises:
        UserError: An answer cannot be written as bytes.
    """
    results = results_of(run)
    texts = {
        "summary.txt": summary_text(run, results),
        "detail.txt": detail_text(run, results),
        "accuracy.json": accuracy_text(run.answers),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{PREFIX}{name}").write_text(text, encoding="utf-8")
    if run.performance is not None and run.performance.samples is not None:
        write_trace(folder / f"{PREFIX}trace.json", run.performance.load, run.performance.samples)
