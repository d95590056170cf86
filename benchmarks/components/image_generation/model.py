"""A Wasserstein GAN of convolutions for images of 28 x 28 pixels."""

from __future__ import annotations

from torch import Tensor, nn

from benchmarks.components.image_generation.data import LATENTS


class WassersteinGan(nn.Module):
    """A generator of images, and the critic that teaches it (Arjovsky et al., 2017)."""

    def __init__(self, generator: nn.Module, critic: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self.critic = critic

    def forward(self, latents: Tensor) -> Tensor:
        """Draw images, (n, channels, height, width), from latent vectors, (n, latents)."""
        images: Tensor = self.generator(latents)
        return images


def convolutional_gan(width: int = 16) -> WassersteinGan:
    """Both networks in the shape of DCGAN, as in the paper's main experiments (section 4.1).

    Two strided convolutions each, and no batch normalisation, which the critic's gradient penalty
    does not allow. A sigmoid keeps pixels in [0, 1].
    """
    generator = nn.Sequential(
        nn.Linear(LATENTS, 2 * width * 7 * 7),
        nn.Unflatten(1, (2 * width, 7, 7)),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1),
        nn.Sigmoid(),
    )
    critic = nn.Sequential(
        nn.Conv2d(1, width, 5, stride=2, padding=2),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 5, stride=2, padding=2),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(2 * width * 7 * 7, 1),
        nn.Flatten(0),
    )
    return WassersteinGan(generator, critic)
