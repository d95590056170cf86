"""A network that foresees frames from those before and from what the effector will do."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.components.video_prediction.recurrent import ConvLSTM, State
from benchmarks.components.video_prediction.transformation import composed, moved, normalised

_KERNEL = 5
_ACTION = 2


class CDNA(nn.Module):
    """Convolutional dynamic neural advection (Finn et al., 2016, figure 1), with three memories.

    For pictures of `pixels` x `pixels` in one shade, a multiple of four.
    """

    def __init__(self, pixels: int, context: int, width: int = 16, n_kernels: int = 6) -> None:
        super().__init__()
        self.context = context
        self.n_kernels = n_kernels
        self.encoder = _down(1, width, _KERNEL)
        self.fine = ConvLSTM(width, width, 3)
        self.downwards = _down(width, 2 * width, 3)
        self.with_action = nn.Conv2d(2 * width + _ACTION, 2 * width, 1)
        self.coarse = ConvLSTM(2 * width, 2 * width, 3)
        self.kernels = nn.Linear(2 * width * (pixels // 4) ** 2, n_kernels * _KERNEL**2)
        self.upwards = _up(2 * width, width)
        self.merged = ConvLSTM(2 * width, width, 3)
        self.decoder = _up(2 * width, width)
        self.new_pixels = nn.Conv2d(width, 1, 1)
        self.masks = nn.Conv2d(width, n_kernels + 2, 1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Foresee all frames that actions lead to.

        Args:
            inputs: ``frames``, the first ones, (n, context, h, w), and ``actions``,
                (n, steps, 2), each of which leads to the next frame.

        Returns:
            Shape (n, steps + 1 - context, h, w): from the last of the first ones on each frame is
            foreseen from the one foreseen before.
        """
        states: list[State | None] = [None, None, None]
        frames = inputs["frames"]
        foreseen: list[Tensor] = []
        for step, action in enumerate(inputs["actions"].unbind(dim=1)):
            last = frames[:, step, None] if step < self.context else foreseen[-1]
            following, states = self.following(last, action, states)
            foreseen.append(following)
        return torch.cat(foreseen[self.context - 1 :], dim=1)

    def following(
        self, frame: Tensor, action: Tensor, states: list[State | None]
    ) -> tuple[Tensor, list[State | None]]:
        """The frame (n, 1, h, w) after this one and an action (n, 2), and the memories' states."""
        encoded = self.encoder(frame)
        fine = self.fine(encoded, states[0])
        deep = self.downwards(fine[0])
        everywhere = action[:, :, None, None].expand(-1, -1, *deep.shape[2:])
        informed = torch.relu(self.with_action(torch.cat([deep, everywhere], dim=1)))
        coarse = self.coarse(informed, states[1])
        merged = self.merged(torch.cat([self.upwards(coarse[0]), fine[0]], dim=1), states[2])
        features = self.decoder(torch.cat([merged[0], encoded], dim=1))
        kernels = self.kernels(coarse[0].flatten(1)).view(-1, self.n_kernels, _KERNEL, _KERNEL)
        new = torch.sigmoid(self.new_pixels(features))
        parts = torch.cat(
            [frame.unsqueeze(1), new.unsqueeze(1), moved(frame, normalised(kernels))], dim=1
        )
        return composed(parts, self.masks(features).softmax(dim=1)), [fine, coarse, merged]


def _down(channels_in: int, channels: int, size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, size, stride=2, padding=size // 2),
        nn.GroupNorm(1, channels),
        nn.ReLU(),
    )


def _up(channels_in: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(channels_in, channels, 4, stride=2, padding=1),
        nn.GroupNorm(1, channels),
        nn.ReLU(),
    )
