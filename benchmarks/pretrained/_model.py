"""What a pretrained model is to the benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_aibench import Offline, Scenario, at_least, at_most
from pytest_aibench.bounds import Bound
from pytest_aibench.datasets import DataAbsent, registered
from pytest_aibench.quality.metrics import metric


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pretrained:
    """A published model with its weights: nothing is trained.

    Attributes:
        name: Name of the model, and of the data set that it is judged on. The
            carriers of that data set are those of the weights, too.
        serve: ``(device, precision)`` makes the model ready to answer, once for each: a `Predictor`
            of three phases, or a function that gives token by token.
        targets: Worst quality in fp32, by metric.
        within: Share of what fp32 reaches that another precision may be worse.
        scenarios: The loads it is served under, with their latency bounds and rates.
        max_batch: Most samples in one call, in the offline and the server scenario.
        throughput: What is required of the throughput in the offline scenario; None where nothing.
        streamed: What is required of the times of tokens, by figure; of a model that gives them
            one by one.
        provenance: Where weights and architecture come from, and what the targets follow.
    """

    name: str
    serve: Callable[..., Any]
    targets: Mapping[str, float]
    within: float = 0.03
    scenarios: tuple[Scenario, ...]
    max_batch: int
    throughput: Bound | None = None
    streamed: Mapping[str, Bound] = field(default_factory=dict)
    provenance: Mapping[str, str]

    def __str__(self) -> str:
        return self.name

    def check_fetched(self) -> None:
        """Make sure that a benchmark downloads nothing.

        Raises:
            DataAbsent: A carrier is not in the cache.
        """
        missing = [one for one in registered()[self.name] if not one.path.exists()]
        if missing:
            size_mb = sum(carrier.size_mb for carrier in missing)
            raise DataAbsent(
                f"data of {self.name!r} is absent: run `aibench data fetch "
                f"--from benchmarks.pretrained {self.name}` ({size_mb:.1f} MB)"
            )

    def bounds(self, scenario: Scenario) -> dict[str, Bound]:
        """What is required of the speed in a scenario, beside its own latency bound."""
        if isinstance(scenario, Offline) and self.throughput is not None:
            return {"throughput": self.throughput, **self.streamed}
        return dict(self.streamed)

    def required(self, precision: str) -> dict[str, Bound]:
        """What is required of the quality: the targets, or nearly what fp32 reaches.

        MLPerf asks for 99 %, of sets where a single answer counts for less.
        """
        return {name: self._bound(name, target, precision) for name, target in self.targets.items()}

    def _bound(self, name: str, target: float, precision: str) -> Bound:
        bound, sign = (at_least, -1) if metric(name).better == "higher" else (at_most, 1)
        return bound(target if precision == "fp32" else f"{1 + sign * self.within:.0%} of fp32")
