"""The three phases of a torch model, and its precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pytest_aibench.devices import resolve
from pytest_aibench.errors import UserError
from pytest_aibench.training.predictor import TensorPredictor, cast, dtype, predict

CPU = resolve("cpu")[0]


class Halves(nn.Module):
    """Notes what reaches it, and halves it; drops out all of it in training."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))
        self.dropout = nn.Dropout(1.0)
        self.seen: list[tuple[torch.dtype, int, bool]] = []

    def forward(self, inputs: Tensor) -> Tensor:
        """Halve."""
        self.seen.append((inputs.dtype, len(inputs), torch.is_grad_enabled()))
        halves: Tensor = self.dropout(inputs * self.factor)
        return halves


def samples(count: int) -> list[np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    return [np.full((1, 2), index, dtype=np.float32) for index in range(count)]


def test_predict_answers_all_samples_in_order_and_in_batches() -> None:
    model = Halves()
    outputs = predict(TensorPredictor(model, CPU, "fp32"), samples(5), 2)
    assert [output.tolist() for output in outputs] == [[[n / 2, n / 2]] for n in range(5)]
    assert model.seen == [(torch.float32, size, False) for size in (2, 2, 1)]


def test_no_samples_no_outputs() -> None:
    assert predict(TensorPredictor(Halves(), CPU, "fp32"), [], 2) == []


def test_reduced_precision_runs_on_a_copy_and_answers_in_fp32() -> None:
    model = Halves()
    predictor = TensorPredictor(model, CPU, "bf16")
    inputs = predictor.preprocess(samples(3))
    raw = predictor.infer(inputs)
    assert (inputs.dtype, raw.dtype) == (torch.bfloat16, torch.bfloat16)
    assert predictor.postprocess(raw)[2].dtype == np.float32
    assert predictor.postprocess(raw)[2].tolist() == [[1, 1]]
    assert model.factor.dtype == torch.float32
    assert model.training


def test_fp32_shares_the_weights() -> None:
    model = Halves()
    assert cast(model, CPU, "fp32") is model


def test_precision_the_device_lacks_is_refused() -> None:
    with pytest.raises(UserError, match=r"^precision 'fp16' is not available on cpu \(.*\);"):
        cast(Halves(), CPU, "fp16")


def test_precision_without_a_type_is_refused() -> None:
    with pytest.raises(UserError) as error:
        dtype("int8")
    assert str(error.value) == ("no model can be cast to precision 'int8': use fp32, bf16, fp16")
