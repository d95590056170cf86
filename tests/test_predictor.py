"""The three phases of a torch model, and its precision."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pytest_aibench.devices import resolve
from pytest_aibench.errors import Unsupported, UserError
from pytest_aibench.training import tensors
from pytest_aibench.training.predictor import (
    TensorPredictor,
    cast,
    dtype,
    macs,
    predict,
    quantization,
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
        dtype("int4")
    assert str(error.value) == (
        "no model can be cast to precision 'int4': use fp32, bf16, fp16, int8"
    )


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


class Cells(nn.Module):
    """One step of two recurrent cells."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.LSTMCell(4, 6)
        self.second = nn.GRUCell(6, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        """Run one after the other."""
        outputs: Tensor = self.second(self.first(inputs)[0])
        return outputs


class Tied(nn.Module):
    """Scores words by the matrix that they are looked up in."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(5, 4)
        self.scores = nn.Linear(4, 5, bias=False)
        self.scores.weight = self.words.weight

    def forward(self, words: Tensor) -> Tensor:
        """Score."""
        scores: Tensor = self.scores(self.words(words))
        return scores


class Scaled(nn.Linear):
    """A layer of the user's own."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Map, and double."""
        return 2 * super().forward(inputs)


class Padded(nn.Module):
    """An encoder of sequences whose last element is no part of them."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, dropout=0.0)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        """Encode."""
        is_pad = torch.arange(inputs.shape[1]).expand(inputs.shape[:2]) == inputs.shape[1] - 1
        outputs: Tensor = self.encoder(inputs, src_key_padding_mask=is_pad)
        return outputs[:, :-1]


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


LINEAR = nn.Linear(4, 4)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize(
    ("model", "layers", "share"),
    [
        (LINEAR, 1, 1),
        (nn.Sequential(LINEAR, nn.ReLU(), nn.Linear(4, 2)), 2, 1),
        (nn.Sequential(LINEAR, Scaled(4, 4)), 1, 0.5),
        (nn.Sequential(LINEAR, nn.LayerNorm(4)), 1, 20 / 28),
        (Recurrent(nn.LSTM(4, 3, 2, bidirectional=True, batch_first=True)), 1, 1),
        (Recurrent(nn.GRU(4, 3, batch_first=True)), 1, 1),
        (nn.Sequential(nn.Flatten(0, 1), LINEAR, Cells()), 3, 1),
        (ENCODER, 2, 76 / (80 + 76 + 16)),
        (Padded(), 4, 76 / (80 + 76 + 16)),
    ],
)
def test_int8_answers_nearly_as_fp32_and_says_what_is_quantised(
    model: nn.Module, layers: int, share: float
) -> None:
    torch.manual_seed(0)
    inputs = list(np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32))
    served = {name: TensorPredictor(model, CPU, name) for name in ("fp32", "int8")}
    exact, quantised = (np.stack(predict(one, inputs, 3)) for one in served.values())
    assert 0 < np.abs(quantised - exact).max() < 0.05 * np.abs(exact).max()
    assert quantization(served["fp32"]) == {}
    assert quantization(served["int8"]) == {
        "quantization": {
            "layers": layers,
            "share_of_parameters": pytest.approx(share, abs=1e-4),
            "engine": torch.backends.quantized.engine,
        }
    }


def test_int8_leaves_the_model_as_it_is() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    before = copy.deepcopy(model.state_dict())
    quantised = cast(model, CPU, "int8").eval()
    assert type(quantised[0]) is not nn.Linear  # type: ignore[index]
    assert type(model[0]) is nn.Linear
    assert model.training
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_int8_takes_and_gives_fp32() -> None:
    predictor = TensorPredictor(LINEAR, CPU, "int8")
    inputs = predictor.preprocess([np.zeros(4)])
    assert (inputs.dtype, predictor.infer(inputs).dtype) == (torch.float32, torch.float32)


def test_a_matrix_that_is_looked_up_too_does_not_count_as_quantised() -> None:
    predictor = TensorPredictor(Tied(), CPU, "int8")
    assert predict(predictor, [np.array(3)], 1)[0].shape == (5,)
    facts = quantization(predictor)["quantization"]
    assert (facts["layers"], facts["share_of_parameters"]) == (1, 0)


def test_nothing_is_known_of_what_holds_no_model() -> None:
    assert quantization(lambda samples: samples) == {}  # type: ignore[arg-type]


def test_a_model_without_a_layer_for_int8_is_not_served_in_fp32() -> None:
    with pytest.raises(Unsupported) as error:
        TensorPredictor(nn.Sequential(nn.Conv2d(1, 1, 3), nn.RNN(1, 1)), CPU, "int8")
    assert str(error.value) == (
        "Sequential has nothing to compute in int8: torch quantises linear, LSTM and GRU layers "
        "dynamically, and it has none"
    )


def test_a_torch_without_dynamic_quantisation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("torch.ao.quantization.quantize_dynamic")
    with pytest.raises(UserError) as error:
        cast(LINEAR, CPU, "int8")
    assert type(error.value) is UserError
    assert str(error.value) == (
        f"torch {torch.__version__} has no torch.ao.quantization.quantize_dynamic, which int8 "
        "needs: choose another precision, or torch 2.13"
    )
