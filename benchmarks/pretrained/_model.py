"""What a pretrained model is to the benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pytest_aibench import Scenario, at_least
from pytest_aibench.bounds import Bound
from pytest_aibench.datasets import DataAbsent, registered
from pytest_aibench.training import Predictor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pretrained:
    """A published model with its weights: nothing is trained.

    Attributes:
        name: Name of the model, of its folder, and of the data set that it is judged on. The
            carriers of that data set are those of the weights, too.
        serve: ``(device, precision)`` makes the model ready to answer, once for each.
        targets: Least quality in fp32, by metric.
        scenarios: The loads it is served under, with their latency bounds and rates.
        max_batch: Most samples in one call, in the offline and the server scenario.
        throughput: What is required of the throughput in the offline scenario.
        provenance: Where weights and architecture come from, and what the targets follow.
    """

    name: str
    serve: Callable[..., Predictor]
    targets: Mapping[str, float]
    scenarios: tuple[Scenario, ...]
    max_batch: int
    throughput: Bound
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

    def required(self, precision: str) -> dict[str, Bound]:
        """What is required of the quality: the targets, or 97 % of what fp32 reaches.

        MLPerf asks 99 %, of sets where a single answer counts for less.
        """
        if precision == "fp32":
            return {metric: at_least(target) for metric, target in self.targets.items()}
        return {metric: at_least("97% of fp32") for metric in self.targets}
