"""EfficientNet-Lite0 with its weights of ImageNet, judged on real photographs."""

from __future__ import annotations

from benchmarks.pretrained.efficientnet_lite0.serving import MODEL

__all__ = ["MODEL"]
