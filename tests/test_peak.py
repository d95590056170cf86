"""The peak search on simulated servers of known capacity, and on made-up answers."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from pytest_aibench.bounds import Verdict
from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.peak import Enough, PeakSettings, ProbeResult, find_peak
from tests.simulated_servers import (
    PERCENTILE,
    SERVICE_S,
    CountedProbe,
    Server,
    Service,
    deterministic_capacity,
    exponential_capacity,
    official_peak,
    simulated_capacity,
)

TRIALS = 100
OFFICIAL_S = 10.0
"""The default min_duration of LoadGen's TestSettings; mlperf.conf asks for 600 s per probe."""

DETERMINISTIC = Server(Service.DETERMINISTIC, 1, 20 * SERVICE_S)
DETERMINISTIC_4 = Server(Service.DETERMINISTIC, 4, 10 * SERVICE_S)
EXPONENTIAL = Server(Service.EXPONENTIAL, 1, 20 * SERVICE_S)
EXPONENTIAL_4 = Server(Service.EXPONENTIAL, 4, 10 * SERVICE_S)
BIMODAL = Server(Service.BIMODAL, 1, 20 * SERVICE_S)
BIMODAL_4 = Server(Service.BIMODAL, 4, 10 * SERVICE_S)

CAPACITIES = {
    DETERMINISTIC: deterministic_capacity(DETERMINISTIC),
    # simulated_capacity(server, 4_000_000, range(4)) and (server, 1_000_000, range(4)) for the last
    DETERMINISTIC_4: 15032.7,
    EXPONENTIAL: exponential_capacity(EXPONENTIAL),
    EXPONENTIAL_4: exponential_capacity(EXPONENTIAL_4),
    BIMODAL: 3155.5,
    BIMODAL_4: 14200.2,
}


def server_id(server: Server) -> str:
    return f"{server.service.value}-{server.workers}"


servers = pytest.mark.parametrize("server", CAPACITIES, ids=server_id)


def settings_for(server: Server) -> PeakSettings:
    return PeakSettings(
        percentile=PERCENTILE, bound_s=server.bound_s, start=250.0 * server.workers, highest=1e6
    )


@servers
def test_within_three_percent_of_the_capacity_with_fewer_queries_than_the_official_search(
    server: Server,
) -> None:
    capacity = CAPACITIES[server]
    probes = [CountedProbe(server, trial) for trial in range(TRIALS)]
    peaks = [find_peak(probe, settings_for(server)) for probe in probes]
    official = CountedProbe(server, 0)
    official_peak(lambda rate: official.official_run(rate, OFFICIAL_S), 250.0 * server.workers)

    assert sum(abs(peak.rate / capacity - 1) <= 0.03 for peak in peaks) >= 95
    assert sum(peak.low <= capacity <= peak.high for peak in peaks) >= 80
    assert [peak.n_queries for peak in peaks] == [probe.n_queries for probe in probes]
    spent = sorted(probe.n_queries for probe in probes)
    assert spent[TRIALS // 2] < official.n_queries / 2


@pytest.mark.parametrize("server", [DETERMINISTIC, EXPONENTIAL], ids=server_id)
def test_the_simulators_agree_with_the_closed_forms(server: Server) -> None:
    assert simulated_capacity(server, 1_000_000, range(2)) == pytest.approx(
        CAPACITIES[server], rel=0.01
    )


def test_four_simulated_workers_agree_with_the_closed_form() -> None:
    capacity = CAPACITIES[EXPONENTIAL_4]
    shares = [EXPONENTIAL_4.over_share(capacity * load, (1,), 500_000) for load in (0.98, 1.02)]
    assert shares[0] < 1 - PERCENTILE < shares[1]


@pytest.mark.parametrize("server", [DETERMINISTIC_4, BIMODAL], ids=server_id)
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


def fake_settings(*, whole: bool = False, highest: float = 1e4) -> PeakSettings:
    return PeakSettings(percentile=0.99, bound_s=0.1, start=1.0, highest=highest, whole=whole)


@pytest.mark.parametrize("at", [1.3, 7.0, 100.0, 3000.0])
def test_a_jump_lies_in_the_interval_and_within_the_tolerance(at: float) -> None:
    peak = find_peak(FakeProbe(step(at)), fake_settings())
    assert peak.low <= at <= peak.high
    assert peak.rate == pytest.approx(at, rel=0.03)
    assert peak.confidence == 0.95


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
    assert sum(point.replication for point in peak.curve) == 16
    verdicts = {point.result.rate: point.verdict for point in peak.curve}
    assert all((verdicts[load] is Verdict.PASSED) == (load <= 10.5) for load in verdicts)


def test_probes_far_from_the_boundary_end_early_and_replications_do_not() -> None:
    peak = find_peak(FakeProbe(step(10.5)), fake_settings())
    assert all(point.result.n == 8000 for point in peak.curve if point.replication)
    lengths = [point.result.n for point in peak.curve if not point.replication]
    assert max(lengths) == 800
    assert peak.n_queries == sum(point.result.n for point in peak.curve)


def test_the_budget_ends_the_search_with_a_wider_interval() -> None:
    server = EXPONENTIAL
    settings = PeakSettings(
        percentile=PERCENTILE, bound_s=server.bound_s, start=250, highest=1e6, max_queries=40_000
    )
    peak = find_peak(CountedProbe(server, 0), settings)
    assert 40_000 <= peak.n_queries < 40_000 + 4 * 8000
    assert peak.low <= peak.rate <= peak.high
    assert peak.high - peak.low > 2 * settings.tolerance * peak.rate


def test_a_bound_missed_at_the_start_is_a_user_error() -> None:
    with pytest.raises(UserError) as error:
        find_peak(FakeProbe(step(0.5)), fake_settings())
    assert str(error.value) == (
        "even 1 queries/s misses the bound: p99 1.02 s > 100 ms; "
        "lower the starting load or raise the bound"
    )


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
