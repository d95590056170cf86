"""Video prediction as a task: how it is trained, judged and served."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer

from benchmarks.components._common import OneCycle
from benchmarks.components.video_prediction.data import CONTEXT, NAME, PREDICTED
from benchmarks.components.video_prediction.model import CDNA
from benchmarks.components.video_prediction.pictures import pictures
from benchmarks.components.video_prediction.pushing import PIXELS
from pytest_aibench.bounds import at_least, at_most
from pytest_aibench.datasets import Dataset
from pytest_aibench.scenarios import MultiStream, Offline, Server, SingleStream
from pytest_aibench.training import Baseline, Supervised, Task, TensorPredictor

PEAK_LEARNING_RATE = 3e-3


def build() -> nn.Module:
    """A network for the data set's films."""
    return CDNA(PIXELS, CONTEXT)


def loss(model: nn.Module, inputs: dict[str, Tensor], frames: Tensor) -> Tensor:
    """Mean squared error of the foreseen frames."""
    return functional.mse_loss(model(inputs), frames)


def optimizer(model: nn.Module) -> Optimizer:
    """Adam, as in the paper."""
    return Adam(model.parameters(), PEAK_LEARNING_RATE)


def last_frame(train: Dataset, test: Dataset) -> Sequence[npt.NDArray[np.float32]]:
    """The last frame that is known, again and again."""
    return list(np.repeat(test.samples["frames"][:, -1:], PREDICTED, axis=1))


TASK = Task(
    name="video_prediction",
    component="C11",
    title="Video prediction",
    dataset=NAME,
    metric="mse",
    target=0.012,
    max_epochs=10,
    batch_size=16,
    cpu_threads=1,
    build=build,
    learner=Supervised(
        loss=loss, optimizer=optimizer, schedule=OneCycle(PEAK_LEARNING_RATE), clip_norm=1.0
    ),
    predictor=TensorPredictor,
    baseline=Baseline(name="copy of the last frame", answer=last_frame),
    pictures=pictures,
    time_to_quality=at_most("90 s"),
    scenarios=(
        SingleStream(latency_bound="100 ms"),
        MultiStream(latency_bound="400 ms", percentile=0.9),
        Server(target_qps=40, latency_bound="200 ms", percentile=0.9),
        Offline(),
    ),
    throughput=at_least("30 samples/s"),
    provenance={
        "component": "AIBench Training DC-AI-C11, video prediction: motion-focused predictive "
        "model on robot pushing",
        "paper": "Finn, Goodfellow and Levine, Unsupervised Learning for Physical Interaction "
        "through Video Prediction, 2016: convolutional dynamic neural advection (CDNA)",
        "architecture": "the paper's with 3 convolutional LSTMs instead of 7, 6 kernels instead of "
        "10, a grey picture of 24 x 24 pixels, and without the arm's state",
        "data": "400 simulated films of pushes, 2 frames and 7 actions to foresee 6 frames, "
        "instead of films of a robot's arm of which 8 frames are foreseen",
        "optimizer": "Adam as in the paper, at 3e-3 in one cycle, gradients clipped to norm 1; "
        "trained on its own predictions from the start instead of scheduled sampling",
        "target": "0.012, chosen on seeds 0 to 4; AIBench's 72 is in other units",
    },
)
