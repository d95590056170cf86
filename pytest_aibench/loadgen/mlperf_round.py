"""What MLPerf Inference round v6.1 asks of each model, as LoadGen 6.0.17 has it built in.

Facts only. Where LoadGen has no fewest offline samples for a model, the rules' own apply: 24 576,
or the data set where it is smaller.
"""

from __future__ import annotations

from dataclasses import dataclass

ROUND = "v6.1"
MIN_DURATION_MS = 600_000
MIN_QUERIES = 100
MULTI_STREAM_MIN_QUERIES = 662
SINGLE_STREAM_EXPECTED_MS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The settings of a model; the defaults are those of a model that the round does not know.

    Attributes:
        performance_samples: Samples in memory under load; None for all.
        accuracy_samples: Samples of the accuracy run; None for all.
        offline_samples: Fewest samples of the offline query.
        equal_issue: Every sample is issued equally often, because samples differ in size.
        server_ms: Bound on the server scenario's latency; 0 where tokens are bounded instead.
        ttft_ms: Bound on the time to the first token; None for no such bound.
        tpot_ms: Bound on the time per output token; None for no such bound.
        token_latencies: LoadGen times tokens.
        single_stream_percentile: The percentile that is the metric of single stream.
        multi_stream_expected_ms: Hint of the latency of a multi-stream query.
    """

    performance_samples: int | None = None
    accuracy_samples: int | None = None
    offline_samples: int = 24_576
    equal_issue: bool = False
    server_ms: int = 10
    ttft_ms: int | None = None
    tpot_ms: int | None = None
    token_latencies: bool = False
    single_stream_percentile: float = 0.90
    multi_stream_expected_ms: float = 80.0


def _tokens(samples: int, ttft_ms: int | None = None, tpot_ms: int | None = None) -> ModelFacts:
    """A language model on a data set of ``samples``, with bounds on its tokens if it has any."""
    return ModelFacts(
        performance_samples=samples,
        offline_samples=min(samples, 24_576),
        equal_issue=True,
        server_ms=10 if ttft_ms is None else 0,
        ttft_ms=ttft_ms,
        tpot_ms=tpot_ms,
        token_latencies=True,
    )


def _gpt_oss(ttft_ms: int, tpot_ms: int) -> ModelFacts:
    """The one model whose accuracy run covers fewer samples than its performance run."""
    return ModelFacts(
        performance_samples=6396,
        accuracy_samples=4395,
        offline_samples=6396,
        equal_issue=True,
        server_ms=0,
        ttft_ms=ttft_ms,
        tpot_ms=tpot_ms,
        token_latencies=True,
    )


MODELS = {
    "resnet50": ModelFacts(performance_samples=1024, server_ms=15),
    "ssd-mobilenet": ModelFacts(performance_samples=256),
    "retinanet": ModelFacts(performance_samples=64, server_ms=100, multi_stream_expected_ms=528.0),
    "yolo": ModelFacts(performance_samples=64),
    "3d-unet": ModelFacts(offline_samples=43, equal_issue=True),
    "pointpainting": ModelFacts(performance_samples=1024, single_stream_percentile=0.999),
    "bert": ModelFacts(performance_samples=10_833, offline_samples=10_833, server_ms=130),
    "rnnt": ModelFacts(performance_samples=2513, offline_samples=2513, server_ms=1000),
    "whisper": _tokens(1633),
    "dlrm": ModelFacts(performance_samples=204_800, server_ms=60),
    "dlrm-v2": ModelFacts(performance_samples=204_800, server_ms=60),
    "dlrm-v3": ModelFacts(server_ms=80),
    "rgat": ModelFacts(performance_samples=788_379, offline_samples=788_379, equal_issue=True),
    "stable-diffusion-xl": ModelFacts(
        performance_samples=5000, offline_samples=5000, server_ms=20_000
    ),
    "wan-2.2-t2v-a14b": ModelFacts(performance_samples=248, offline_samples=248),
    "gptj": ModelFacts(
        performance_samples=13_368, offline_samples=13_368, equal_issue=True, server_ms=20_000
    ),
    "llama2-70b": _tokens(24_576, 2000, 200),
    "llama2-70b-interactive": _tokens(24_576, 450, 40),
    "mixtral-8x7b": _tokens(15_000, 2000, 200),
    "llama3_1-405b": _tokens(8313, 6000, 175),
    "llama3_1-405b-interactive": _tokens(8313, 4500, 80),
    "llama3_1-8b": _tokens(13_368, 2000, 100),
    "llama3_1-8b-interactive": _tokens(13_368, 500, 30),
    "llama3_1-8b-edge": _tokens(5000),
    "deepseek-r1": _tokens(4388, 2000, 80),
    "deepseek-r1-interactive": _tokens(4388, 1500, 15),
    "gpt-oss-120b": _gpt_oss(3000, 80),
    "gpt-oss-120b-interactive": _gpt_oss(2000, 15),
    "qwen3-vl-235b-a22b": ModelFacts(
        performance_samples=48_289, offline_samples=48_289, equal_issue=True, server_ms=12_000
    ),
}
"""Facts by the name that LoadGen's configuration files use."""
