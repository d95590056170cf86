"""Do the answers under load equal those of the accuracy pass? (The idea of MLPerf's TEST01.)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_aibench.bounds import Violation

TOLERANCE = 0.05
"""Floats may differ by this share of the largest magnitude: batches of other sizes round apart."""


def disagreement(
    under_load: Sequence[tuple[int, Any]], alone: Mapping[int, Any], may_differ: float
) -> tuple[Violation, ...]:
    """Compare answers given under load with those of the accuracy pass.

    Args:
        under_load: Sample indices and outputs.
        alone: Outputs of the accuracy pass by sample index.
        may_differ: Share of answers that may differ.
    """
    differing = [
        (index, output)
        for index, output in under_load
        if index in alone and not same_answer(output, alone[index])
    ]
    if len(differing) <= may_differ * len(under_load):
        return ()
    index, output = differing[0]
    evidence = (
        f"{len(differing)} of {len(under_load)} compared answers differ from the accuracy pass; "
        f"sample {index}: {_short(output)} under load, {_short(alone[index])} alone"
    )
    return (Violation(rule="answers under load are those of the accuracy pass", evidence=evidence),)


def not_a_number(outputs: Mapping[int, Any]) -> tuple[Violation, ...]:
    """A violation when an output holds a NaN, naming its sample."""
    bad = [index for index, output in outputs.items() if _holds_nan(output)]
    if not bad:
        return ()
    evidence = f"{len(bad)} of {len(outputs)} outputs hold a NaN; the first is sample {bad[0]}"
    return (Violation(rule="outputs are numbers", evidence=evidence),)


def same_answer(one: Any, other: Any) -> bool:
    """Whether two outputs are equal; floats up to `TOLERANCE` of the largest magnitude."""
    first, second = _as_array(one), _as_array(other)
    if first is not None and second is not None:
        return _same_arrays(first, second)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_answer(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same_answer, one, other))
    return bool(np.all(one == other))


def _same_arrays(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind not in "fc" and other.dtype.kind not in "fc":
        return bool((one == other).all())
    scale = float(np.abs(other).max(initial=0.0))
    return bool(np.allclose(one, other, rtol=0, atol=TOLERANCE * scale))


def _holds_nan(output: Any) -> bool:
    values = _as_array(output)
    if values is not None:
        return values.dtype.kind in "fc" and bool(np.isnan(values).any())
    if isinstance(output, Mapping):
        return any(map(_holds_nan, output.values()))
    return isinstance(output, (list, tuple)) and any(map(_holds_nan, output))


def _as_array(output: Any) -> npt.NDArray[Any] | None:
    """The output as an array of numbers or text; None when it is something else."""
    if hasattr(output, "detach"):
        output = output.detach().cpu()
        # numpy has no bfloat16; whole numbers stay exact.
        output = (output.float() if output.is_floating_point() else output).numpy()
    try:
        values = np.asarray(output)
    except ValueError:
        return None
    return values if values.dtype.kind in "biufcUS" else None


def _short(output: Any) -> str:
    values = _as_array(output)
    if values is None or values.ndim == 0:
        text = str(output)
    else:
        text = np.array2string(values.ravel(), precision=3, threshold=8, edgeitems=3)
    return text if len(text) <= 60 else text[:59] + "…"
