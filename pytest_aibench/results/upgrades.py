"""Brings the document of a record to the present schema: one pure function for each step.

They change what a newer schema says in another way and keep everything else, unknown keys included.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_aibench.results.identity import gpu_products
from pytest_aibench.results.schema import Json

Document = Mapping[str, Json]

_SPEEDS = ("goodput", "peak_streams", "epochs_to_quality")
"""Figures without a unit that do not tell quality."""


def upgraded(document: Document) -> dict[str, Json]:
    """The record as the present schema writes it; one of that schema comes back as it is.

    Args:
        document: A record of this or an older schema, as read from JSON; it is not changed.

    Raises:
        ValueError: It is no record, or not built as its schema says.
    """
    present = dict(document)
    try:
        while (step := _STEPS.get(str(present.get("schema")))) is not None:
            present = step(present)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not built as {present.get('schema')} says: {error!r}") from error
    return present


def _from_1(document: Document) -> dict[str, Json]:
    """Correctness by metric; the hardware of each benchmark's own device."""
    products = gpu_products(document["environment"]["hw"])
    benchmarks = [_entry_from_1(entry, products) for entry in document["benchmarks"]]
    return {**document, "schema": "aibench.run/2", "benchmarks": benchmarks}


def _entry_from_1(entry: Document, products: list[dict[str, Json]]) -> dict[str, Json]:
    bits, device = entry.get("correct"), entry.get("device")
    correct = {_judged_quality(entry): bits} if bits else {}
    if device is not None:
        alike = [product for product in products if product.get("gpu_product") == device["name"]]
        is_known = bool(alike) and all(product == alike[0] for product in alike)
        device = {**device, "hardware": alike[0] if is_known else {}}
    return {**entry, "correct": correct, "device": device}


def _judged_quality(entry: Document) -> str:
    """The metric whose correctness was kept: the first quality that was judged."""
    judged = (check["name"] for check in entry["checks"] if not check["unit"])
    figures = (name for name in judged if name in entry["metrics"] and name not in _SPEEDS)
    return next(figures, "unknown")


_STEPS = {"aibench.run/1": _from_1}
