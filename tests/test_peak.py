"""The peak search on simulated servers of known capacity, and on made-up answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from pytest_aibench.bounds import Verdict
from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.peak import (
    Enough,
    NoPeak,
    PeakSettings,
    ProbePoint,
    ProbeResult,
    find_peak,
)
from tests.simulated_servers import (
    PERCENTILE,
    CountedProbe,
    Server,
    known_servers,
    official_peak,
    official_queries,
    peak_settings,
    simulated_capacity,
)

TRIALS = 8
CAPACITIES = known_servers()
DETERMINISTIC, DETERMINISTIC_4, EXPONENTIAL, EXPONENTIAL_4, BIMODAL, _ = CAPACITIES

servers = pytest.mark.parametrize("server", CAPACITIES, ids=str)


@servers
def test_within_three_percent_of_the_capacity_with_fewer_queries_than_the_official_search(
    server: Server,
) -> None:
    """`benchmarks.harness.peak_accuracy` makes a hundred searches of each."""
    capacity = CAPACITIES[server]
    probes = [CountedProbe(server, trial) for trial in range(TRIALS)]
    peaks = [find_peak(probe, peak_settings(server)) for probe in probes]
    assert sum(abs(peak.rate / capacity - 1) <= 0.03 for peak in peaks) >= TRIALS - 1
    assert sum(peak.low <= capacity <= peak.high for peak in peaks) >= TRIALS - 1
    assert [peak.n_queries for peak in peaks] == [probe.n_queries for probe in probes]
    spent = sorted(probe.n_queries for probe in probes)
    assert spent[TRIALS // 2] < official_queries(server, 0)


def test_the_interval_covers_as_stated_where_a_queue_saturates_suddenly() -> None:
    settings, trials = peak_settings(DETERMINISTIC_4), 25
    peaks = [find_peak(CountedProbe(DETERMINISTIC_4, trial), settings) for trial in range(trials)]
    capacity = CAPACITIES[DETERMINISTIC_4]
    assert sum(peak.low <= capacity <= peak.high for peak in peaks) >= 0.98 * trials


def test_a_start_far_above_the_capacity_finds_the_same_peak() -> None:
    settings = replace(peak_settings(DETERMINISTIC), start=50_000.0)
    peaks = [find_peak(CountedProbe(DETERMINISTIC, trial), settings) for trial in range(TRIALS)]
    capacity = CAPACITIES[DETERMINISTIC]
    first = [point.result.rate for point in peaks[0].curve[:3]]
    assert first == [50_000, 25_000, 12_500]
    assert all(peak.rate == pytest.approx(capacity, rel=0.03) for peak in peaks)
    assert sum(peak.low <= capacity <= peak.high for peak in peaks) >= TRIALS - 1


@pytest.mark.parametrize("server", [DETERMINISTIC, EXPONENTIAL], ids=str)
def test_the_simulators_agree_with_the_closed_forms(server: Server) -> None:
    assert simulated_capacity(server, 1_000_000, range(2)) == pytest.approx(
        CAPACITIES[server], rel=0.01
    )


def test_four_simulated_workers_agree_with_the_closed_form() -> None:
    capacity = CAPACITIES[EXPONENTIAL_4]
    shares = [EXPONENTIAL_4.over_share(capacity * load, (1,), 500_000) for load in (0.98, 1.02)]
    assert shares[0] < 1 - PERCENTILE < shares[1]


@pytest.mark.parametrize("server", [DETERMINISTIC_4, BIMODAL], ids=str)
def test_simulated_capacities_are_recomputed(server: Server) -> None:
    assert simulated_capacity(server, 1_000_000, range(2)) == pytest.approx(
        CAPACITIES[server], rel=0.01
    )


class FakeProbe:
    """Answers with the share of the queries over the bound that a rule gives for the load."""

    def __init__(self, over_share: Callable[[float], float]) -> None:
        self.over_share = over_share
        self.seeds: list[int] = []
        self.loads: list[float] = []

    def __call__(self, rate: float, budget_queries: int, seed: int, enough: Enough) -> ProbeResult:
        """See `pytest_aibench.loadgen.peak.Probe`."""
        self.seeds.append(seed)
        self.loads.append(rate)
        share = self.over_share(rate)
        looks = range(100, budget_queries, 100)
        n = next((n for n in looks if enough(n, round(share * n))), budget_queries)
        return ProbeResult(
            rate=rate, n=n, over=round(share * n), percentile_s=0.02 + share, duration_s=n / rate
        )


def step(at: float) -> Callable[[float], float]:
    return lambda load: float(load > at)


def fake_settings(*, whole: bool = False, start: float = 1.0, highest: float = 1e4) -> PeakSettings:
    return PeakSettings(
        percentile=0.99, bound_s=0.1, start=start, lowest=1.0, highest=highest, whole=whole
    )


@pytest.mark.parametrize("at", [1.3, 7.0, 100.0, 3000.0])
def test_a_jump_lies_in_the_interval_and_within_the_tolerance(at: float) -> None:
    peak = find_peak(FakeProbe(step(at)), fake_settings())
    assert peak.low <= at <= peak.high
    assert peak.rate == pytest.approx(at, rel=0.03)
    assert peak.confidence == 0.95


def test_a_few_stray_queries_on_both_sides_do_not_hide_a_jump() -> None:
    def share(load: float) -> float:
        return 0.999 if load > 10.5 else 0.001

    peak = find_peak(FakeProbe(share), fake_settings())
    assert peak.low <= 10.5 <= peak.high
    assert peak.rate == pytest.approx(10.5, rel=0.03)
    assert sum(point.replication for point in peak.curve) < 40


@pytest.mark.parametrize("streams", [1, 2, 3, 7, 16, 31])
def test_the_highest_number_of_streams_is_found_exactly(streams: int) -> None:
    probe = FakeProbe(step(streams + 0.5))
    peak = find_peak(probe, fake_settings(whole=True))
    assert peak.rate == peak.high == streams
    assert peak.low in (streams - 1, streams)
    assert all(load == int(load) >= 1 for load in probe.loads)


def test_a_smooth_rise_without_noise_is_located_exactly() -> None:
    def share(load: float) -> float:
        return 1 / (1 + 99 * (50 / load) ** 20)

    peak = find_peak(FakeProbe(share), fake_settings())
    assert peak.rate == pytest.approx(50, rel=0.002)


def test_the_search_doubles_then_narrows_then_replicates_with_fresh_seeds() -> None:
    probe = FakeProbe(step(10.5))
    peak = find_peak(probe, fake_settings())
    assert probe.loads[:5] == [1, 2, 4, 8, 16]
    assert probe.loads[5] == pytest.approx(math.sqrt(8 * 16))
    assert probe.seeds == list(range(len(probe.loads)))
    assert [point.result.rate for point in peak.curve] == probe.loads
    assert 24 <= sum(point.replication for point in peak.curve) <= 28
    verdicts = {point.result.rate: point.verdict for point in peak.curve}
    assert all((verdicts[load] is Verdict.PASSED) == (load <= 10.5) for load in verdicts)


def test_probes_far_from_the_boundary_end_early_and_replications_do_not() -> None:
    peak = find_peak(FakeProbe(step(10.5)), fake_settings())
    assert all(point.result.n == 8000 for point in peak.curve if point.replication)
    lengths = [point.result.n for point in peak.curve if not point.replication]
    assert max(lengths) == 800
    assert peak.n_queries == sum(point.result.n for point in peak.curve)


def test_the_budget_ends_the_search_with_a_wider_interval() -> None:
    settings = replace(peak_settings(EXPONENTIAL), max_queries=40_000)
    peak = find_peak(CountedProbe(EXPONENTIAL, 0), settings)
    assert 40_000 <= peak.n_queries < 40_000 + 4 * 8000
    assert peak.low <= peak.rate <= peak.high
    assert peak.high - peak.low > 2 * settings.tolerance * peak.rate


def test_the_search_halves_while_the_bound_is_missed() -> None:
    probe = FakeProbe(step(10.5))
    peak = find_peak(probe, fake_settings(start=100))
    assert probe.loads[:5] == [100, 50, 25, 12.5, 6.25]
    assert peak.low <= 10.5 <= peak.high
    assert peak.rate == pytest.approx(10.5, rel=0.03)
    lengths = [point.result.n for point in peak.curve[:4]]
    assert lengths == [800, 100, 100, 100]


def test_a_cluster_of_late_queries_does_not_end_the_halving_early() -> None:
    shares = iter([1.0, 0.3])
    probe = FakeProbe(lambda load: next(shares, 0.0))
    peak = find_peak(probe, replace(fake_settings(start=16), max_queries=1))
    assert [point.result.n for point in peak.curve[:2]] == [800, 2700]


def test_a_bound_missed_at_the_lowest_load_is_a_user_error() -> None:
    probe = FakeProbe(step(0.5))
    with pytest.raises(NoPeak) as error:
        find_peak(probe, fake_settings(start=5))
    assert probe.loads == [5, 2.5, 1.25, 1]
    assert str(error.value) == (
        "even 1 queries/s, the lowest load tried, misses the bound: p99 1.02 s > 100 ms; "
        "raise the bound or use a faster model"
    )
    assert error.value.met is None


def test_replications_far_from_the_boundary_do_not_count() -> None:
    def share(load: float) -> float:
        lucky = len(probe.loads) <= 9
        return 0.0 if lucky and load < 64 else 1 / (1 + 99 * (50 / load) ** 40)

    probe = FakeProbe(share)
    peak = find_peak(probe, fake_settings())
    assert peak.rate == pytest.approx(50, rel=0.01)
    replicated = [point.result.rate for point in peak.curve if point.replication]
    near = [load for load in replicated if 40 * abs(math.log(load / peak.rate)) <= 3]
    assert len(replicated) > len(near) >= 24


def test_each_probe_is_seen_when_it_has_ended() -> None:
    seen: list[ProbePoint] = []
    peak = find_peak(FakeProbe(step(10.5)), fake_settings(), seen.append)
    assert tuple(seen) == peak.curve


def test_a_bound_met_at_the_highest_load_is_a_user_error() -> None:
    probe = FakeProbe(step(500))
    with pytest.raises(UserError) as error:
        find_peak(probe, fake_settings(whole=True, highest=100))
    assert probe.loads == [1, 2, 4, 8, 16, 32, 64, 100]
    assert str(error.value) == (
        "the bound is met at the highest load tried, 100 streams: p99 20 ms <= 100 ms; "
        "raise the highest load or lower the bound"
    )


def test_the_official_search_bisects_to_a_tenth() -> None:
    assert official_peak(lambda rate: rate <= 853.26, 100) == pytest.approx(853.2, abs=0.1)
    with pytest.raises(ValueError, match="missed at 100 qps"):
        official_peak(lambda rate: False, 100)
