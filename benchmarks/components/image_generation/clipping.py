"""How critic and generator learn in the paper itself: the critic's weights are clipped."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import RMSprop

from pytest_aibench.training import Stateful

LEARNING_RATE = 5e-5
LIMIT = 0.01
CRITIC_STEPS = 5
MANY_CRITIC_STEPS = 100


class Turns:
    """Whose turn it is: after some steps of the critic comes one of the generator.

    There are 5 of them, as in the paper, but 100 before each of the first 25 steps of the
    generator, and before every 500th (the authors' code).
    """

    def __init__(self) -> None:
        self._of_critic = 0
        self._of_generator = 0

    def is_over(self) -> bool:
        """Count a step of the critic; whether the generator takes one now."""
        self._of_critic += 1
        is_long = self._of_generator < 25 or self._of_generator % 500 == 0
        if self._of_critic < (MANY_CRITIC_STEPS if is_long else CRITIC_STEPS):
            return False
        self._of_critic = 0
        self._of_generator += 1
        return True

    def state_dict(self) -> dict[str, int]:
        """Steps of the critic since the generator's last, and steps of the generator."""
        return {"of_critic": self._of_critic, "of_generator": self._of_generator}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on from there."""
        self._of_critic, self._of_generator = state["of_critic"], state["of_generator"]


class ClippingLearner:
    """One step of the critic for each batch, and one of the generator after several.

    After Arjovsky et al. (2017, algorithm 1). Neither rate ever changes.
    """

    def __init__(self, model: nn.Module, steps: int) -> None:
        self._generator: nn.Module = model.get_submodule("generator")
        self._critic: nn.Module = model.get_submodule("critic")
        self._of_generator = RMSprop(self._generator.parameters(), LEARNING_RATE)
        self._of_critic = RMSprop(self._critic.parameters(), LEARNING_RATE)
        self._turns = Turns()

    def step(self, inputs: Tensor, references: Tensor) -> Tensor:
        """Learn from real images in [0, 1], with new latent vectors in place of the inputs.

        Returns the critic's estimate of the Wasserstein distance between real and generated images
        (there: equation 2), times a constant that nobody knows.
        """
        estimate = self._teach_critic(torch.randn_like(inputs), 2 * references - 1)
        if self._turns.is_over():
            self._teach_generator(torch.randn_like(inputs))
        return estimate

    def parts(self) -> Mapping[str, Stateful]:
        """Optimisers, and whose turn it is."""
        return {
            "generator": self._of_generator,
            "critic": self._of_critic,
            "turns": self._turns,
        }

    def _teach_critic(self, latents: Tensor, real: Tensor) -> Tensor:
        with torch.no_grad():
            drawn = self._generator(latents)
        estimate: Tensor = self._critic(real).mean() - self._critic(drawn).mean()
        self._of_critic.zero_grad()
        torch.autograd.backward(-estimate)
        self._of_critic.step()
        with torch.no_grad():
            for weight in self._critic.parameters():
                weight.clamp_(-LIMIT, LIMIT)
        return estimate.detach()

    def _teach_generator(self, latents: Tensor) -> None:
        self._of_generator.zero_grad()
        torch.autograd.backward(-self._critic(self._generator(latents)).mean())
        self._of_generator.step()
