"""CDNA at its published size: 64 x 64 pixels in colour, with the arm's state."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.components._full import FullModel
from benchmarks.components.video_prediction.recurrent import ConvLSTM, State
from benchmarks.components.video_prediction.transformation import composed, moved, normalised

_KERNEL, _N_KERNELS = 5, 10
_STATE, _ACTION = 5, 5
_COARSEST = 8


class Memory(nn.Module):
    """A recurrent layer of 5 x 5 gates whose output is normalised over the layer."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.cell = ConvLSTM(channels_in, channels, 5)
        self.norm = nn.GroupNorm(1, channels)

    def forward(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        """What the layer gives, and its next state."""
        state = self.cell(inputs, state)
        return self.norm(state[0]), state


class FullCDNA(nn.Module):
    """Seven memories that look at an ever coarser picture and back (Finn et al., 2016, figure 1).

    It foresees one frame. As in the published code there are masks for the last frame, for new
    pixels, and for all but one of the kernels' pictures.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(3, 32, 5, stride=2, padding=2), nn.GroupNorm(1, 32), nn.ReLU()
        )
        self.fine = nn.ModuleList([Memory(32, 32), Memory(32, 32)])
        self.halved = nn.Conv2d(32, 32, 3, stride=2, padding=1)
        self.middle = nn.ModuleList([Memory(32, 64), Memory(64, 64)])
        self.quartered = nn.Conv2d(64, 64, 3, stride=2, padding=1)
        self.with_action = nn.Conv2d(64 + _STATE + _ACTION, 64, 1)
        self.coarse = Memory(64, 128)
        self.kernels = nn.Linear(128 * _COARSEST**2, _N_KERNELS * _KERNEL**2)
        self.up_to_middle = _up(128)
        self.back_in_middle = Memory(128, 64)
        self.up_to_fine = _up(64 + 32)
        self.back_in_fine = Memory(96, 32)
        self.last = nn.Sequential(_up(32 + 32), nn.GroupNorm(1, 64), nn.ReLU())
        self.new_pixels = nn.Conv2d(64, 3, 1)
        self.masks = nn.Conv2d(64, _N_KERNELS + 1, 1)
        self.next_state = nn.Linear(_STATE + _ACTION, _STATE)

    def forward(
        self, frame: Tensor, state: Tensor, action: Tensor, states: Sequence[State | None]
    ) -> tuple[Tensor, Tensor, list[State]]:
        """Foresee the next frame and state.

        Args:
            frame: Shape (n, 3, 64, 64).
            state: The arm's, shape (n, 5).
            action: What it is told to do, shape (n, 5).
            states: Of the seven memories; None begins.

        Returns:
            The next frame, the next state of the arm, and the next ones of the memories.
        """
        situation = torch.cat([state, action], dim=1)
        features, coarsest, states = self._features(frame, situation, states)
        kernels = self.kernels(coarsest.flatten(1)).view(-1, _N_KERNELS, _KERNEL, _KERNEL)
        new = torch.sigmoid(self.new_pixels(features))
        others = moved(frame, normalised(kernels))[:, :-1]
        parts = torch.cat([frame.unsqueeze(1), new.unsqueeze(1), others], dim=1)
        following = composed(parts, self.masks(features).softmax(dim=1))
        return following, self.next_state(situation), states

    def _features(
        self, frame: Tensor, situation: Tensor, states: Sequence[State | None]
    ) -> tuple[Tensor, Tensor, list[State]]:
        """What masks and kernels are made of, on the finest and the coarsest picture."""
        first = self.first(frame)
        fine, first_state = self.fine[0](first, states[0])
        fine, second_state = self.fine[1](fine, states[1])
        halved = torch.relu(self.halved(fine))
        middle, third_state = self.middle[0](halved, states[2])
        middle, fourth_state = self.middle[1](middle, states[3])
        quartered = torch.relu(self.quartered(middle))
        everywhere = situation[:, :, None, None].expand(-1, -1, _COARSEST, _COARSEST)
        informed = torch.relu(self.with_action(torch.cat([quartered, everywhere], dim=1)))
        coarse, fifth_state = self.coarse(informed, states[4])
        middle, sixth_state = self.back_in_middle(torch.relu(self.up_to_middle(coarse)), states[5])
        fine, last_state = self.back_in_fine(
            torch.relu(self.up_to_fine(torch.cat([middle, halved], dim=1))), states[6]
        )
        features = self.last(torch.cat([fine, first], dim=1))
        upper = [first_state, second_state, third_state, fourth_state]
        return features, coarse, [*upper, fifth_state, sixth_state, last_state]


def _up(channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, channels, 3, stride=2, padding=1, output_padding=1)


def _inputs() -> tuple[Tensor, Tensor, Tensor, list[None]]:
    with torch.device("meta"):
        return (
            torch.empty(1, 3, 64, 64),
            torch.empty(1, _STATE),
            torch.empty(1, _ACTION),
            [None] * 7,
        )


FULL = FullModel(
    build=FullCDNA,
    published_parameters=8_310_000,
    source="Finn, Goodfellow and Levine, Unsupervised Learning for Physical Interaction through "
    "Video Prediction, 2016, and the sizes in their TensorFlow code",
    within=0.01,
    inputs=_inputs,
)
