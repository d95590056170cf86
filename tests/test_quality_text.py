"""Metrics of texts and tokens against hand-worked cases, and against the definitions."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_aibench.errors import UserError
from pytest_aibench.quality import text
from pytest_aibench.quality.metrics import metric, per_sample

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=8)


def figure(name: str, outputs: list[Any], references: Any) -> float | None:
    quality = metric(name)
    return quality.estimate(quality.scores(outputs, np.array(references))).value


@pytest.mark.parametrize(
    ("name", "better", "unit"),
    [
        ("bleu", "higher", ""),
        ("rougeL", "higher", ""),
        ("wer", "lower", ""),
        ("perplexity", "lower", ""),
        ("token_accuracy", "higher", ""),
    ],
)
def test_direction_and_unit(name: str, better: str, unit: str) -> None:
    assert (metric(name).better, metric(name).unit) == (better, unit)


# Worked by hand: the shares of right n-grams for n = 1 to 4. Where none of three is right,
# smoothing counts half a right one (Chen and Cherry, 2014, method 3).
@pytest.mark.parametrize(
    ("output", "shares"),
    [
        ("the cat sat on the mat", (6 / 6, 5 / 5, 4 / 4, 3 / 3)),
        ("the cat sat on a mat", (5 / 6, 3 / 5, 2 / 4, 1 / 3)),
        ("a cat sat on a mat", (4 / 6, 2 / 5, 1 / 4, 0.5 / 3)),
    ],
)
def test_bleu_of_one_sentence(output: str, shares: tuple[float, ...]) -> None:
    expected = 100 * math.prod(shares) ** 0.25
    assert figure("bleu", [output], ["the cat sat on the mat"]) == pytest.approx(expected)


def test_bleu_is_of_summed_counts_with_one_brevity_penalty() -> None:
    outputs = ["one two three four", "five six seven eight"]
    references = ["one two three four", "five six seven eight nine ten"]
    assert figure("bleu", outputs, references) == pytest.approx(100 * math.exp(1 - 10 / 8))


@given(st.lists(st.tuples(WORDS, WORDS), min_size=2, max_size=6))
def test_bleu_is_sacrebleus(pairs: list[tuple[list[str], list[str]]]) -> None:
    from sacrebleu.metrics.bleu import BLEU

    outputs = [" ".join(output) for output, _ in pairs]
    references = [" ".join(reference) for _, reference in pairs]
    expected = BLEU(effective_order=True).corpus_score(outputs, [references]).score
    assert figure("bleu", outputs, references) == pytest.approx(expected)


def test_bleu_keeps_the_score_of_each_sentence() -> None:
    outputs = ["one two three four five", "no word of it"]
    scores = metric("bleu").scores(outputs, np.array([outputs[0], "it is another"]))
    assert scores.shape == (2, 11)
    assert per_sample(scores)[0] == pytest.approx(100)
    assert 0 < per_sample(scores)[1] < 20


def edit_distance(one: list[str], other: list[str]) -> int:
    """By the recursion, without a table."""
    if not one or not other:
        return len(one) + len(other)
    if one[0] == other[0]:
        return edit_distance(one[1:], other[1:])
    return 1 + min(
        edit_distance(one[1:], other),
        edit_distance(one, other[1:]),
        edit_distance(one[1:], other[1:]),
    )


SHORT = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5)


@given(st.lists(st.tuples(SHORT, SHORT), min_size=1, max_size=4))
def test_wer_is_the_edits_of_all_over_the_words_of_all(
    pairs: list[tuple[list[str], list[str]]],
) -> None:
    edits = [edit_distance(output, reference) for output, reference in pairs]
    words = [len(reference) for _, reference in pairs]
    outputs = [" ".join(output) for output, _ in pairs]
    references = np.array([" ".join(reference) for _, reference in pairs])
    scores = metric("wer").scores(outputs, references)
    np.testing.assert_allclose(per_sample(scores), np.divide(edits, words))
    assert metric("wer").estimate(scores).value == pytest.approx(sum(edits) / sum(words))


def test_wer_of_silence_is_one_and_may_be_more() -> None:
    assert figure("wer", [""], ["two words"]) == 1
    assert figure("wer", ["a b c d"], ["x"]) == 4


def test_wer_interval_is_not_below_zero() -> None:
    scores = metric("wer").scores(["a"] * 9 + ["b"], np.array(["a"] * 10))
    estimate = metric("wer").estimate(scores)
    assert estimate.value == pytest.approx(0.1)
    assert estimate.low == 0
    assert estimate.high is not None
    assert 0.2 < estimate.high < 0.5


# Lin 2004, section 3.1, but for the stemming: there the first common subsequence has 3 words of 4.
@pytest.mark.parametrize(
    ("output", "f1"),
    [
        ("police kill the gunman", 1.0),
        ("the gunman kill police", 0.5),
        ("police killed the gunmen", 0.75),
        ("", 0.0),
    ],
)
def test_rouge_l_of_lins_example(output: str, f1: float) -> None:
    assert figure("rougeL", [output], ["police killed the gunman"]) == pytest.approx(f1)


def test_perplexity_of_a_uniform_model_is_its_choices() -> None:
    tokens = np.array([3, 7, 1])
    scores = metric("perplexity").scores(list(tokens * math.log(50)), tokens)
    np.testing.assert_allclose(per_sample(scores), 50)
    estimate = metric("perplexity").estimate(scores)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((50, 50, 50))


def test_perplexity_weighs_tokens_not_samples() -> None:
    assert figure("perplexity", [9 * math.log(2), math.log(8)], [9, 1]) == pytest.approx(
        2 ** ((9 + 3) / 10)
    )


def test_perplexity_that_overflows_is_not_measured() -> None:
    quality = metric("perplexity")
    estimate = quality.estimate(quality.scores([1.0, 1e5], np.array([1, 1])))
    assert estimate.value is None
    assert estimate.why_open == "1 of 2 outputs are not numbers, the first is that of sample 1"


@pytest.mark.parametrize(
    ("output", "share"),
    [
        ([5, 6, 7], 1),
        ([5, 6, 7, 8], 1),
        ([5, 9, 7], 2 / 3),
        ([5], 1 / 3),
        ([6, 7, 5], 0),
    ],
)
def test_token_accuracy_counts_positions_of_the_reference(output: list[int], share: float) -> None:
    assert figure("token_accuracy", [output], [[5, 6, 7, -1, -1]]) == pytest.approx(share)


def test_token_accuracy_is_over_the_tokens_of_all() -> None:
    references = [[1, 2, 3, 4], [1, -1, -1, -1]]
    assert figure("token_accuracy", [[1, 2, 0, 0], [1]], references) == pytest.approx(3 / 5)


@pytest.mark.parametrize("name", ["bleu", "rougeL", "wer"])
def test_no_text_is_not_measured(name: str) -> None:
    quality = metric(name)
    estimate = quality.estimate(quality.scores(["a b", None, "a"], np.array(["a b", "b", "c"])))
    assert estimate.value is None
    assert estimate.why_open == "1 of 3 outputs are not numbers, the first is that of sample 1"


@pytest.mark.parametrize(
    ("name", "outputs", "references", "message"),
    [
        (
            "bleu",
            ["a"],
            ["a", "b"],
            "bleu: 1 outputs for 2 references: return one output for each sample",
        ),
        (
            "rougeL",
            ["a", 3],
            ["a", "b"],
            "rougeL: sample 1: an output of type int: return a text",
        ),
        (
            "wer",
            ["a", "b"],
            ["a", " "],
            "wer: sample 1: the reference has no word: leave the sample out",
        ),
        (
            "perplexity",
            [[1.0, 2.0]],
            [3],
            "perplexity: sample 0: the output is a list: "
            "return the summed negative log-likelihood in nats",
        ),
        (
            "perplexity",
            [1.0],
            [0],
            "perplexity: sample 0: the reference is 0 tokens: leave the sample out",
        ),
        (
            "token_accuracy",
            [[0.5, 0.5]],
            [[1, 2]],
            "token_accuracy: sample 0: the output has shape (2,) and type float64: "
            "return token ids",
        ),
        (
            "token_accuracy",
            [[1]],
            [[-1]],
            "token_accuracy: sample 0: the reference has no token: leave the sample out",
        ),
    ],
)
def test_what_is_refused(
    name: str, outputs: list[Any], references: list[Any], message: str
) -> None:
    with pytest.raises(UserError) as error:
        metric(name).scores(outputs, np.array(references))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("name", "package", "module"),
    [
        ("bleu", "sacrebleu", "sacrebleu.metrics.bleu"),
        ("rougeL", "rouge-score", "rouge_score.rouge_scorer"),
        ("wer", "jiwer", "jiwer"),
    ],
)
def test_a_missing_library_is_named(
    name: str, package: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    for function in (text._sacrebleu, text._rouge_scorer, text._process_words):
        function.cache_clear()
    with pytest.raises(UserError) as error:
        metric(name).scores(["a"], np.array(["a"]))
    assert str(error.value) == (
        f"{name}: sample 0: needs {package}: pip install 'pytest-aibench[suite]'"
    )


def test_libraries_are_not_imported_before_they_score() -> None:
    script = (
        "import sys\n"
        "from pytest_aibench.quality.metrics import metric, metric_names\n"
        "names = metric_names()\n"
        "assert 'bleu' in names and 'map50' in names\n"
        "assert not {'pytest_aibench.quality.text', 'pytest_aibench.quality.vision'} & "
        "set(sys.modules)\n"
        "metric('bleu')\n"
        "assert 'pytest_aibench.quality.vision' not in sys.modules\n"
        "assert not {'sacrebleu', 'jiwer', 'rouge_score', 'scipy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
