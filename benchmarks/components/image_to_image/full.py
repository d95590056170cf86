"""CycleGAN for pictures of 256 x 256 pixels."""

from __future__ import annotations

from functools import partial

import torch

from benchmarks.components._full import FullModel
from benchmarks.components.image_to_image.model import CycleGan

FULL = FullModel(
    build=partial(CycleGan, width=64, halvings=2, blocks=9, kernel=7, judge_halvings=3),
    published_parameters=2 * (11_378_000 + 2_765_000),
    source="Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial "
    "Networks, 2017, appendix 7.2; the authors' PyTorch code tells 11.378 M weights of a generator "
    "and 2.765 M of a discriminator, of which there are two each. Multiply-accumulates are those "
    "of one translation",
    within=1e-4,
    inputs=lambda: (torch.empty(1, 3, 256, 256, device="meta"),),
    published_macs=49_550_000_000,
)
