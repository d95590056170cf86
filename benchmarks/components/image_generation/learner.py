"""How critic and generator learn from each other."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LinearLR

from pytest_aibench.training import Stateful

LEARNING_RATE = 2e-3
BETAS = (0.0, 0.9)
CRITIC_STEPS = 2
PENALTY = 10.0


class WassersteinLearner:
    """One step of the critic for each batch, and one of the generator after every second.

    The critic is kept near slope 1 by the gradient penalty of Gulrajani et al. (2017, algorithm 1).
    """

    def __init__(self, model: nn.Module, steps: int) -> None:
        self._generator: nn.Module = model.get_submodule("generator")
        self._critic: nn.Module = model.get_submodule("critic")
        self._of_generator = Adam(self._generator.parameters(), LEARNING_RATE, BETAS)
        self._of_critic = Adam(self._critic.parameters(), LEARNING_RATE, BETAS)
        self._schedules = [
            LinearLR(self._of_critic, 1.0, 0.02, steps),
            LinearLR(self._of_generator, 1.0, 0.02, max(1, steps // CRITIC_STEPS)),
        ]

    def step(self, inputs: Tensor, references: Tensor) -> Tensor:
        """Learn from real images, with new latent vectors in place of the inputs.

        Returns the critic's estimate of the Wasserstein distance between real and generated images
        (Arjovsky et al., 2017, equation 2), which training lowers.
        """
        estimate = self._teach_critic(torch.randn_like(inputs), references)
        if self._schedules[0].last_epoch % CRITIC_STEPS == 0:
            self._teach_generator(torch.randn_like(inputs))
        return estimate

    def parts(self) -> Mapping[str, Stateful]:
        """Optimisers and schedules."""
        of_critic, of_generator = self._schedules
        return {
            "generator": self._of_generator,
            "critic": self._of_critic,
            "generator's rate": of_generator,
            "critic's rate": of_critic,
        }

    def _teach_critic(self, latents: Tensor, real: Tensor) -> Tensor:
        with torch.no_grad():
            drawn = self._generator(latents)
        estimate: Tensor = self._critic(real).mean() - self._critic(drawn).mean()
        penalty = gradient_penalty(self._critic, real, drawn)
        self._of_critic.zero_grad()
        torch.autograd.backward(PENALTY * penalty - estimate)
        self._of_critic.step()
        self._schedules[0].step()
        return estimate.detach()

    def _teach_generator(self, latents: Tensor) -> None:
        self._of_generator.zero_grad()
        torch.autograd.backward(-self._critic(self._generator(latents)).mean())
        self._of_generator.step()
        self._schedules[1].step()


def gradient_penalty(critic: nn.Module, real: Tensor, drawn: Tensor) -> Tensor:
    """Mean of (|slope| - 1)^2 of the critic at random points between real and drawn images."""
    share = torch.rand((len(real), *[1] * (real.ndim - 1)), device=real.device)
    between = (share * real + (1 - share) * drawn).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    norms = torch.linalg.vector_norm(slope.flatten(1), dim=1)
    return torch.square(norms - 1).mean()
