"""Export to CSV: a row for each figure of each run, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from pytest_aibench.results.formats import Exported, Figure, figures, unmeasured
from pytest_aibench.results.schema import Json, Run


def export(runs: Sequence[Run]) -> Exported:
    """All measured figures, the invalid ones with the reason."""
    rows = [_row(figure) for figure in figures(runs)]
    if not rows:
        return Exported({}, unmeasured(runs))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return Exported({"aibench.csv": text.getvalue()}, unmeasured(runs))


def _row(figure: Figure) -> dict[str, Json]:
    run, key, entry, metric = figure
    subject = run.environment.subject
    return {
        "run_id": run.run_id,
        "group_id": run.group_id,
        "started_at": run.started_at,
        "commit": subject.get("commit"),
        "branch": subject.get("branch"),
        "dirty": subject.get("dirty"),
        "benchmark": key.benchmark,
        "device": entry.device.id if entry and entry.device else None,
        "precision": entry.precision if entry else None,
        "hardware": key.hardware,
        "setup": key.setup,
        "verdict": entry.verdict if entry else None,
        "invalid": figure.invalid,
        "metric": key.metric,
        "unit": figure.unit,
        "better": metric.better,
        "value": metric.value,
        "low": metric.low,
        "high": metric.high,
        "confidence": metric.confidence,
        "n": metric.n,
    }
