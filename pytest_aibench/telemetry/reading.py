"""One look at a device or a machine during a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What could be read at one moment; what could not is left out.

    Attributes:
        figures: Numbers by name, the unit in the name; ``power_w`` is integrated to energy.
        conditions: What holds at the moment, like ``sw_power_cap``; None when it cannot be read.
        energy_j: The device's own counter of energy, from an arbitrary start.
        throttled_s: Counter of the time that heat held a processor's clock down.
    """

    figures: Mapping[str, float] = field(default_factory=dict)
    conditions: tuple[str, ...] | None = None
    energy_j: float | None = None
    throttled_s: float | None = None


def without_none(**facts: Any) -> dict[str, Any]:
    """The facts that are known."""
    return {name: fact for name, fact in facts.items() if fact is not None}
