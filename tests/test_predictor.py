"""The three phases of a torch model, and its precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pytest_aibench.devices import resolve
from pytest_aibench.errors import UserError
from pytest_aibench.training import tensors
from pytest_aibench.training.predictor import (
    TensorPredictor,
    cast,
    dtype,
    macs,
    predict,
)

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


class Table(nn.Module):
    """Looks rows up, and scales them where the inputs have a ``scale``."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.arange(6.0).reshape(3, 2))

    def forward(self, inputs: Tensor | dict[str, Tensor]) -> Tensor:
        """Look up."""
        if isinstance(inputs, dict):
            return self.rows[inputs["row"]] * inputs["scale"][:, None]
        return self.rows[inputs]


def test_integers_keep_their_type() -> None:
    rows = [np.array(row) for row in (2, 0)]
    predictor = TensorPredictor(Table(), CPU, "bf16")
    assert predictor.preprocess(rows).dtype == torch.int64
    assert [output.tolist() for output in predict(predictor, rows, 2)] == [[4, 5], [0, 1]]


def test_named_fields_reach_the_model_by_name() -> None:
    # Unaligned: the scale begins at byte 1.
    fields = np.array([(2, 0.5), (1, 2.0)], dtype=[("row", np.int8), ("scale", np.float32)])
    predictor = TensorPredictor(Table(), CPU, "bf16")
    batch = predictor.preprocess(list(fields))
    assert {name: values.dtype for name, values in batch.items()} == {
        "row": torch.int8,
        "scale": torch.bfloat16,
    }
    wide = fields.astype([("row", np.int64), ("scale", np.float32)])
    assert [output.tolist() for output in predict(predictor, list(wide), 1)] == [[2, 2.5], [4, 6]]


def test_a_batch_shares_no_memory_with_the_data() -> None:
    data = np.zeros(2, dtype=np.float32)
    tensors(data, CPU).fill_(1)
    assert data.tolist() == [0, 0]


def test_texts_are_no_input_of_a_model() -> None:
    with pytest.raises(UserError) as error:
        tensors(np.array(["a", "bc"]), CPU)
    assert str(error.value) == (
        "a model cannot take values of type <U2: give samples, and references of the train split, "
        "as numbers"
    )


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


class Attention(nn.Module):
    """Attends to itself with two heads, in one layer of torch or in its bare operation."""

    def __init__(self, layer: nn.MultiheadAttention | None = None) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        """Attend."""
        if self.layer is None:
            heads = inputs.view(*inputs.shape[:2], 2, -1).transpose(1, 2)
            return nn.functional.scaled_dot_product_attention(heads, heads, heads)
        attended: Tensor = self.layer(inputs, inputs, inputs)[0]
        return attended


class Recurrent(nn.Module):
    """Gives what a recurrent layer gives at each step."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        """Run through the steps."""
        outputs: Tensor = self.layer(inputs)[0]
        return outputs


class Bare(nn.Module):
    """A matrix times a vector, then a scalar product."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Multiply."""
        vector = inputs[0, 0]
        return (inputs[0] @ vector).sum() + (vector @ vector).reshape(1)


ENCODER = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)


@pytest.mark.parametrize(
    ("model", "shape", "by_hand"),
    [
        (nn.Linear(3, 4), (3,), 3 * 4),
        (nn.Linear(3, 4), (7, 3), 7 * 3 * 4),
        (nn.Conv2d(2, 4, 3), (2, 5, 6), 2 * 3 * 3 * 4 * (3 * 4)),
        (nn.Conv2d(2, 4, 3, groups=2), (2, 5, 6), 3 * 3 * 4 * (3 * 4)),
        (nn.ConvTranspose2d(2, 4, 3), (2, 5, 6), 2 * 3 * 3 * 4 * (5 * 6)),
        (Recurrent(nn.RNN(3, 4, batch_first=True)), (5, 3), 5 * 4 * (3 + 4)),
        (Recurrent(nn.GRU(3, 4, batch_first=True)), (5, 3), 5 * 3 * 4 * (3 + 4)),
        (Recurrent(nn.LSTM(3, 4, batch_first=True)), (5, 3), 5 * 4 * 4 * (3 + 4)),
        (Recurrent(nn.LSTM(3, 4, bias=False, batch_first=True)), (5, 3), 5 * 4 * 4 * (3 + 4)),
        (
            Recurrent(nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True)),
            (5, 3),
            2 * 5 * 4 * 4 * (3 + 4) + 2 * 5 * 4 * 4 * (8 + 4),
        ),
        (Attention(), (5, 4), 2 * 5 * 5 * 4),
        (
            Attention(nn.MultiheadAttention(4, 2, batch_first=True)),
            (5, 4),
            4 * (5 * 4 * 4) + 2 * 5 * 5 * 4,
        ),
        (ENCODER, (5, 4), 4 * (5 * 4 * 4) + 2 * 5 * 5 * 4 + 2 * (5 * 4 * 8)),
        (Bare(), (5, 4), 5 * 4 + 4),
    ],
)
def test_multiply_accumulates_of_one_answer(
    model: nn.Module, shape: tuple[int, ...], by_hand: int
) -> None:
    sample = np.zeros(shape, dtype=np.float32)
    assert macs(TensorPredictor(model, CPU, "fp32"), sample) == by_hand


def test_what_only_works_element_by_element_has_no_count() -> None:
    fused = torch.backends.mha.get_fastpath_enabled()
    assert macs(TensorPredictor(Halves(), CPU, "fp32"), samples(1)[0]) is None
    assert torch.backends.mha.get_fastpath_enabled() == fused
