"""Quality of texts and of sequences of tokens.

Outputs and references of `bleu`, `rougeL` and `wer` are texts; libraries count for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from pytest_aibench.errors import UserError
from pytest_aibench.quality.metrics import (
    CorpusMetric,
    MeanMetric,
    QualityMetric,
    Scores,
    each,
    mean_of_ratios,
)

_NGRAM = 4


def _bleu_counts(output: Any, reference: Any) -> Sequence[float]:
    """Words of output and reference, then right and all n-grams of 1 to 4 words."""
    score = _sacrebleu().sentence_score(_text(output), [_text(reference)])
    return (score.sys_len, score.ref_len, *score.counts, *score.totals)


def _bleu(counts: Scores) -> float:
    """BLEU of summed counts, 0 to 100 (Papineni et al., ACL 2002), as sacrebleu computes it."""
    lengths, right, all_ngrams = np.split(counts.sum(axis=0).astype(int), [2, 2 + _NGRAM])
    score = _sacrebleu().compute_bleu(
        right.tolist(),
        all_ngrams.tolist(),
        *lengths.tolist(),
        smooth_method="exp",
        effective_order=True,
    )
    return float(score.score)


def _wer_counts(output: Any, reference: Any) -> Sequence[float]:
    """Word errors, and words of the reference."""
    said = _text(reference)
    if not said.split():
        raise UserError("the reference has no word: leave the sample out")
    words = _process_words()(said, _text(output))
    return (
        words.substitutions + words.deletions + words.insertions,
        words.hits + words.substitutions + words.deletions,
    )


def _rouge_l(output: Any, reference: Any) -> float:
    """F1 of the longest common subsequence of stemmed words (Lin, ACL workshop, 2004)."""
    return float(_rouge_scorer().score(_text(reference), _text(output))["rougeL"].fmeasure)


def _likelihood(output: Any, reference: Any) -> Sequence[float]:
    """Summed negative log-likelihood in nats, and the number of tokens."""
    nats = np.asarray(output)
    if nats.ndim != 0 or nats.dtype.kind not in "iuf":
        raise UserError(
            f"the output is a {type(output).__name__}: return the summed negative log-likelihood "
            "in nats"
        )
    if reference < 1:
        raise UserError(f"the reference is {reference} tokens: leave the sample out")
    return float(nats), float(reference)


def _perplexity(likelihoods: Scores) -> float:
    """Exponential of the mean negative log-likelihood of a token."""
    nats, tokens = likelihoods.sum(axis=0)
    with np.errstate(over="ignore"):
        return float(np.exp(nats / tokens))


def _token_counts(output: Any, reference: Any) -> Sequence[float]:
    """Right tokens, and tokens of the reference, which is padded with -1."""
    answer, wanted = np.asarray(output), reference[reference >= 0]
    if answer.ndim != 1 or answer.dtype.kind not in "iu":
        raise UserError(
            f"the output has shape {answer.shape} and type {answer.dtype}: return token ids"
        )
    if len(wanted) == 0:
        raise UserError("the reference has no token: leave the sample out")
    both = min(len(answer), len(wanted))
    return float((answer[:both] == wanted[:both]).sum()), float(len(wanted))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UserError(f"an output of type {type(value).__name__}: return a text")
    return value


@cache
def _sacrebleu() -> Any:
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise _missing("sacrebleu") from None
    return BLEU(effective_order=True)


@cache
def _rouge_scorer() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped]
    except ImportError:
        raise _missing("rouge-score") from None
    return RougeScorer(["rougeL"], use_stemmer=True)


@cache
def _process_words() -> Callable[[str, str], Any]:
    try:
        from jiwer import process_words
    except ImportError:
        raise _missing("jiwer") from None
    return process_words


def _missing(package: str) -> UserError:
    return UserError(f"needs {package}: pip install 'pytest-aibench[suite]'")


METRICS: tuple[QualityMetric, ...] = (
    CorpusMetric(name="bleu", measure=each(_bleu_counts), figure=_bleu, limits=(0.0, 100.0)),
    MeanMetric(name="rougeL", measure=each(_rouge_l)),
    CorpusMetric(
        name="wer",
        measure=each(_wer_counts),
        figure=mean_of_ratios,
        better="lower",
        limits=(0.0, math.inf),
    ),
    CorpusMetric(
        name="perplexity",
        measure=each(_likelihood),
        figure=_perplexity,
        better="lower",
        limits=(1.0, math.inf),
    ),
    CorpusMetric(name="token_accuracy", measure=each(_token_counts), figure=mean_of_ratios),
)
