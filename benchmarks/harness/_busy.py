"""Keeps a core, and now and then the interpreter lock, busy with a torch model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread


@contextmanager
def busy_torch() -> Iterator[None]:
    """Run a small convolutional model over and over in a thread meanwhile."""
    import torch

    torch.set_num_threads(1)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3), torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 3), torch.nn.ReLU()
    )
    images = torch.zeros(4, 3, 32, 32)
    warm, done = Event(), Event()

    def work() -> None:
        with torch.inference_mode():
            while not done.is_set():
                model(images)
                warm.set()

    thread = Thread(target=work)
    thread.start()
    warm.wait()
    try:
        yield
    finally:
        done.set()
        thread.join()
