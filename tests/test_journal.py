"""What is written down of a load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pytest_aibench.loadgen.journal import (
    NEVER,
    EveryAnswer,
    Journal,
    SampledAnswers,
    Stretch,
    name_samples,
    no_load,
)


def journal_of(outputs: Sequence[Any], queries: list[list[int]]) -> Journal:
    journal = Journal(100, EveryAnswer())
    n = len(queries)
    stretch = Stretch([110] * n, [120] * n, list(outputs))
    journal.add(np.array(queries), [], stretch)
    return journal


def test_times_count_from_the_begin() -> None:
    journal = Journal(100, EveryAnswer())
    stretch = Stretch(issued=[105, 131], completed=[125, 140], outputs=[["a", "b"], ["c", "d"]])
    journal.add(np.array([[0, 1], [2, 3]]), [100, 130], stretch)
    load = journal.finish("enough")
    assert load.begin_ns == 100
    assert load.due_ns.tolist() == [0, 30]
    assert load.issued_ns.tolist() == [5, 31]
    assert load.completed_ns.tolist() == [25, 40]
    assert load.latency_ns.tolist() == [25, 10]
    assert load.lateness_ns.tolist() == [5, 1]
    assert load.sizes.tolist() == [2, 2]
    assert load.stopped == "enough"
    assert load.duration_s == 40e-9


def test_the_generator_is_not_late_while_the_model_holds_its_thread() -> None:
    journal = Journal(0, EveryAnswer())
    stretch = Stretch(issued=[0, 52, 63], completed=[50, 60, 70], outputs=[[0], [0], [0]])
    journal.add(np.array([[0], [1], [2]]), [0, 10, 61], stretch)
    load = journal.finish("")
    assert load.lateness_ns.tolist() == [0, 42, 2]
    assert load.generator_lateness_ns.tolist() == [0, 2, 2]


def test_a_concurrent_system_frees_the_generator_when_it_has_taken_the_query() -> None:
    journal = Journal(0, EveryAnswer())
    journal.due.extend([0, 10])
    journal.issued.extend([0, 12])
    journal.taken.extend([11, 13])
    journal.completed.extend([500, 600])
    journal.sizes.extend([1, 1])
    assert journal.finish("").generator_lateness_ns.tolist() == [0, 1]


def test_unanswered_queries_have_no_latency_and_overdue_ones_what_is_known() -> None:
    journal = Journal(50, EveryAnswer())
    journal.issued.extend([50, 60])
    journal.completed.extend([NEVER, 75])
    journal.sizes.extend([1, 1])
    journal.overdue = np.array([7])
    load = journal.finish("")
    assert load.completed_ns.tolist() == [NEVER, 25]
    assert load.answered.tolist() == [False, True]
    assert load.latency_ns.tolist() == [15, 7]
    assert load.completions.completed_ns.tolist() == [25]


def test_completions_are_in_the_order_of_answers() -> None:
    journal = Journal(0, EveryAnswer())
    journal.issued.extend([0, 1, 2])
    journal.completed.extend([30, 10, 20])
    journal.sizes.extend([3, 1, 2])
    done = journal.finish("").completions
    assert done.completed_ns.tolist() == [10, 20, 30]
    assert done.samples.tolist() == [1, 2, 3]


def test_a_load_of_no_queries() -> None:
    load = no_load("the accuracy pass broke a rule", ())
    assert (len(load.issued_ns), load.duration_s, len(load.latency_ns)) == (0, 0.0, 0)
    assert len(load.generator_lateness_ns) == 0


@pytest.mark.parametrize(
    ("output", "given"),
    [
        ([1, 2], "2 outputs"),
        ([], "0 outputs"),
        (None, "a value of type NoneType"),
        (7, "a value of type int"),
        ("abc", "a value of type str"),
        (b"abc", "a value of type bytes"),
        ({0: 1, 1: 2, 2: 3}, "a value of type dict"),
        ({1, 2, 3}, "a value of type set"),
        ((i for i in range(3)), "a value of type generator"),
        (np.array(1.5), "a value of type ndarray"),
    ],
)
def test_outputs_that_are_not_one_for_each_sample(output: Any, given: str) -> None:
    journal = journal_of([[1, 2, 3], output], [[4, 5, 6], [7, 8, 9]])
    (violation,) = journal.violations
    assert violation.rule == "one output per sample"
    assert violation.evidence == (
        f"the model gave {given} for 3 samples (samples 7, 8, 9): "
        "return a list with one output for each sample"
    )


@pytest.mark.parametrize("output", [[1, 2], (1, 2), np.zeros((2, 3)), range(2)])
def test_any_sequence_of_the_right_length_will_do(output: Any) -> None:
    assert journal_of([output], [[4, 5]]).violations == []


def test_the_first_case_of_each_rule_is_kept() -> None:
    journal = Journal(0, EveryAnswer())
    for rule, evidence in (("a", "1"), ("b", "2"), ("a", "3")):
        journal.violate(rule, evidence)
    assert [violation.evidence for violation in journal.violations] == ["1", "2"]


def test_every_answer_is_kept_by_sample() -> None:
    answers = EveryAnswer()
    answers.offer(np.array([[3, 1], [2, 0]]), [["d", "b"], ["c", "a"]])
    assert answers.by_index == {0: "a", 1: "b", 2: "c", 3: "d"}


def test_few_answers_are_all_kept() -> None:
    answers = SampledAnswers(10, seed=1)
    answers.offer(np.array([[5, 6], [7, 8]]), [["a", "b"], ["c", "d"]])
    assert answers.kept == [(5, "a"), (6, "b"), (7, "c"), (8, "d")]


def test_the_sample_of_answers_is_uniform_however_they_come() -> None:
    counts = np.zeros(60)
    for seed in range(3000):
        answers = SampledAnswers(6, seed)
        for first in range(0, 60, 12):
            indices = np.arange(first, first + 12).reshape(-1, 1 + seed % 3)
            answers.offer(indices, (indices * 10).tolist())
        assert len({index for index, _ in answers.kept}) == 6
        assert all(output == 10 * index for index, output in answers.kept)
        counts[[index for index, _ in answers.kept]] += 1
    # Each is kept with probability 1/10: 300 of 3000, with standard deviation 16.4.
    assert np.abs(counts - 300).max() < 5 * 16.4
    assert np.square((counts - 300) / 16.4).mean() < 1.6


def test_samples_are_named_briefly() -> None:
    assert name_samples([7]) == "sample 7"
    assert name_samples([3, 1]) == "samples 3, 1"
    assert name_samples(range(9)) == "samples 0, 1, 2, 3, 4, …"
