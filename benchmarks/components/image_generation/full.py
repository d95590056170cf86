"""The Wasserstein GAN of perceptrons for bedrooms of 64 x 64 pixels, and how it is trained."""

from __future__ import annotations

import math
from dataclasses import replace

from torch import Tensor, nn

from benchmarks.components._full import SCENARIOS, THROUGHPUT, FullModel
from benchmarks.components.image_generation import original
from benchmarks.components.image_generation.clipping import ClippingLearner
from benchmarks.components.image_generation.model import WassersteinGan
from benchmarks.components.image_generation.task import TASK
from pytest_aibench.bounds import at_most
from pytest_aibench.training import TensorPredictor

IMAGE = (3, original.SIDE, original.SIDE)


def perceptron_gan() -> WassersteinGan:
    """Two perceptrons of four layers (Arjovsky et al., 2017, section 4.3); pixels in [-1, 1]."""
    pixels = math.prod(IMAGE)
    generator = nn.Sequential(*_perceptron(original.LATENTS, pixels), nn.Unflatten(1, IMAGE))
    critic = nn.Sequential(nn.Flatten(), *_perceptron(pixels, 1), nn.Flatten(0))
    return WassersteinGan(generator, critic)


def _perceptron(inputs: int, outputs: int, width: int = 512) -> list[nn.Module]:
    hidden = [nn.Linear(inputs, width), nn.ReLU()]
    for _ in range(2):
        hidden += [nn.Linear(width, width), nn.ReLU()]
    return [*hidden, nn.Linear(width, outputs)]


FULL = FullModel(
    build=perceptron_gan,
    published_parameters=6_881_000 + 6_818_000,
    source="AIBench Training's report: generator and critic of the Wasserstein GAN are perceptrons "
    "of 4 layers with 512 units; 6.881 M and 6.818 M weights, counted from that description",
    within=1e-4,
)


class BedroomPredictor(TensorPredictor):
    """Draws images, and brings their pixels to [0, 1]."""

    def infer(self, inputs: Tensor) -> Tensor:
        """Images, of shape (n, 3, 64, 64)."""
        return ((super().infer(inputs) + 1) / 2).clamp(0, 1)


FULL_TASK = replace(
    TASK,
    dataset=original.NAME,
    target=0.025,
    max_epochs=25,
    batch_size=64,
    cpu_threads=None,
    build=perceptron_gan,
    learner=ClippingLearner,
    predictor=BedroomPredictor,
    time_to_quality=at_most("27.4 h"),
    scenarios=SCENARIOS,
    throughput=THROUGHPUT,
    provenance={
        "component": TASK.provenance["component"],
        "paper": TASK.provenance["paper"],
        "architecture": "perceptrons of 4 layers as in AIBench's report and in the paper's section "
        "4.3; the commands that AIBench shows have a critic of convolutions",
        "data": "LSUN's bedrooms: 3 033 042 photographs to train, the 300 of the validation set to "
        "judge, which are few; the middle at 64 x 64 pixels, as in AIBench's code",
        "optimizer": "the paper's and AIBench's code: RMSprop at 5e-5, weights of the critic "
        "clipped to 0.01, 64 photographs a step, 5 steps of the critic for one of the generator, "
        "100 for each of its first 25 and every 500th, 25 epochs",
        "metric": "sliced Wasserstein distance of patches (after Karras et al., 2018) to the "
        "validation set. It hardly sees how sharp images are: crops of photographs, coarsened to "
        "squares of 4 x 4 pixels, come to 0.002 more at most. Beside it, as the training's loss, "
        "the critic's own estimate, which is AIBench's figure",
        "target": "0.025, ours and reached by nobody: it may be out of reach. AIBench's 0.5 of the "
        "critic's estimate tells nothing, for its scale is that of clipped weights, and AIBench "
        "gives no training that came to it. It lies between what sets of 300 crops of six "
        "photographs are apart, 0.011 to 0.022, and what mixtures of two crops are apart from "
        "them, 0.030 to 0.047; nothing of it was measured on bedrooms",
        "time": "27.4 h, 25 epochs of 3936 s on a Titan RTX (AIBench, which trains to no target)",
        "latency": "not published: guesses",
    },
)
