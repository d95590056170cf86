"""Quality sample by sample: which answers a change broke, and which it mended.

Both sides answered the same samples, so that only those count whose answers differ: a drop of half
a point that two independent shares could never tell apart is plain in the pairs.
"""

from __future__ import annotations

import base64
import binascii
import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from pytest_aibench.errors import UserError
from pytest_aibench.regression.comparison import ALPHA, Change, Comparison, Evidence
from pytest_aibench.regression.student import POWER

Bits = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_FLOAT32 = np.dtype("<f4")
_RESAMPLES = 1999
_ROUNDING = 1e-12


def correct_bits(text: str, n: int) -> Bits:
    """Which of ``n`` samples were answered right, from the record's base64 bit set.

    Raises:
        UserError: The text is no bit set of that many samples.
    """
    try:
        packed = base64.b64decode(text, validate=True)
    except binascii.Error:
        packed = b""
    if len(packed) != math.ceil(n / 8):
        raise UserError(f"the correctness of {n} samples cannot be read: record it again")
    return _bits(np.frombuffer(packed, np.uint8), n)


def sample_scores(text: str, n: int) -> Floats:
    """The scores of ``n`` samples, from the record's base64 of float32.

    Raises:
        UserError: The text does not hold the scores of that many samples.
    """
    try:
        packed = base64.b64decode(text, validate=True)
    except binascii.Error:
        packed = b""
    if len(packed) != _FLOAT32.itemsize * n:
        raise UserError(f"the scores of {n} samples cannot be read: record them again")
    return np.frombuffer(packed, _FLOAT32).astype(np.float64)


def compare_correctness(
    name: str,
    metric: str,
    baseline: Bits,
    candidate: Bits,
    *,
    floor: float | None = None,
    alpha: float = ALPHA,
) -> Comparison:
    """McNemar's exact test of the answers that changed, and whether a drop is excluded.

    Of b answers broken and c mended, the drop is ``(b - c) / n`` with the standard error
    ``sqrt(b + c - (b - c)**2 / n) / n`` (McNemar, Psychometrika 12, 1947).

    Args:
        name: The benchmark.
        metric: The share of right answers, like ``top1``.
        baseline: Whether each sample was answered right before, shape (n,).
        candidate: The same samples, in the same order.
        floor: The smallest drop worth an alarm; by default what the metric's name implies.
        alpha: Highest chance of a false alarm, and of one at each end of the interval.

    Raises:
        UserError: The sides do not have the same samples.
    """
    n = _paired(name, baseline, candidate)
    broken = int(np.count_nonzero(baseline & ~candidate))
    mended = int(np.count_nonzero(candidate & ~baseline))
    evidence = Evidence(
        name=name,
        metric=metric,
        better="higher",
        baseline=(float(baseline.mean()),),
        candidate=(float(candidate.mean()),),
        floor=floor,
        n=n,
    )
    return _judged(
        evidence,
        difference=(broken - mended) / n,
        se=math.sqrt(broken + mended - (broken - mended) ** 2 / n) / n,
        p=(_at_least(broken, broken + mended), _at_least(mended, broken + mended)),
        what=f"{broken} of {n} answers broken, {mended} mended",
        identical=not broken + mended,
        alpha=alpha,
    )


def compare_scores(
    name: str,
    metric: str,
    better: str,
    baseline: Floats,
    candidate: Floats,
    *,
    floor: float | None = None,
    alpha: float = ALPHA,
) -> Comparison:
    """The same for scores that are not just right or wrong: a paired permutation test of the mean.

    Under the null hypothesis each difference could as well have the other sign (Fisher, The design
    of experiments, 1935, section 21).

    Raises:
        UserError: The sides do not have the same samples, or a score is not a number.
    """
    n = _paired(name, baseline, candidate)
    if not (np.isfinite(baseline).all() and np.isfinite(candidate).all()):
        raise UserError(f"{name}: a score is not a number: an invalid run cannot be compared")
    evidence = Evidence(
        name=name,
        metric=metric,
        better=better,
        baseline=(float(baseline.mean()),),
        candidate=(float(candidate.mean()),),
        floor=floor,
    )
    worse = evidence.sign * (candidate - baseline)
    changed = worse[worse != 0]
    return _judged(
        evidence,
        difference=float(worse.mean()),
        se=float(worse.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf,
        p=_sign_flip_p(changed),
        what=f"{len(changed)} of {n} scores changed",
        identical=not len(changed),
        alpha=alpha,
    )


def _bits(packed: npt.NDArray[np.uint8], n: int) -> Bits:
    return np.unpackbits(packed, count=n).view(np.bool_)


def _paired(name: str, baseline: Bits | Floats, candidate: Bits | Floats) -> int:
    """Number of samples that both sides have."""
    if len(baseline) != len(candidate) or not len(baseline):
        raise UserError(
            f"{name}: {len(baseline)} samples before and {len(candidate)} now: "
            "compare runs over the same samples"
        )
    return len(baseline)


def _at_least(hits: int, n: int) -> float:
    """Chance of at least so many heads among n throws of a coin."""
    from scipy.special import bdtrc

    return float(bdtrc(hits - 1, n, 0.5)) if hits else 1.0


def _sign_flip_p(differences: Floats) -> tuple[float, float]:
    """Chances of at least, and of at most, such a sum if every sign were thrown by a coin."""
    n, total = len(differences), float(differences.sum())
    rng = np.random.default_rng(0)
    coins = (np.frombuffer(rng.bytes(n // 8 + 1), np.uint8) for _ in range(_RESAMPLES))
    heads = np.array([differences[_bits(coin, n)].sum() for coin in coins])
    slack = _ROUNDING * float(np.abs(differences).sum())
    worse, better = (2 * heads - total) >= total - slack, (2 * heads - total) <= total + slack
    return _share(worse), _share(better)


def _share(hits: Bits) -> float:
    """The sample itself is one of its permutations."""
    return (1 + int(np.count_nonzero(hits))) / (1 + len(hits))


def _judged(
    evidence: Evidence,
    *,
    difference: float,
    se: float,
    p: tuple[float, float],
    what: str,
    identical: bool,
    alpha: float,
) -> Comparison:
    """The verdict on a paired difference that is larger when worse; p for worse and for better."""
    floor = evidence.smallest_change
    reach = NormalDist().inv_cdf(1 - alpha) * se
    change = Change.INCONCLUSIVE
    if p[0] <= alpha and difference > floor:
        change = Change.REGRESSED
    elif p[1] <= alpha and -difference > floor:
        change = Change.IMPROVED
    elif difference + reach < floor:
        change = Change.NOT_WORSE
    effect = evidence.sign * difference
    return Comparison(
        evidence=evidence,
        change=change,
        reason="the same on every sample" if identical else f"{what}, p = {p[0]:.1g}",
        effect=effect,
        low=effect - reach,
        high=effect + reach,
        p=p[0],
        detectable=reach + NormalDist().inv_cdf(POWER) * se,
    )
