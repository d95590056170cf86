"""C4 at full size: COCO's captions, what stays frozen, a step of a small captioner."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.components._images import Normalised
from benchmarks.components.image_to_text import FULL_TASK, original
from benchmarks.components.image_to_text.data import END, PAD
from benchmarks.components.image_to_text.full import blind, build, trunk
from benchmarks.components.image_to_text.model import Captioner
from pytest_aibench.datasets import Dataset, mounting
from pytest_aibench.errors import UserError
from tests.original.files import after_a_step, answers, without_weights, write_photograph

CAPTIONS = {
    "train2014": {7: ["A dog runs.", "The dog sits on a mat."], 3: ["A cat."]},
    "val2014": {9: ["A dog, running!", "A dog."], 4: ["On the mat."]},
}
COUNTS = {"train": original.Counts(2, 3), "test": original.Counts(2, 3)}


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    folder = tmp_path / original.NAME
    (folder / "annotations").mkdir(parents=True)
    for part, photographs in CAPTIONS.items():
        images = [{"id": one, "file_name": f"COCO_{one:012}.jpg"} for one in photographs]
        for image in images:
            write_photograph(folder / part / str(image["file_name"]), 260, 256)
        texts = [(one, text) for one, captions in photographs.items() for text in captions]
        annotations = [
            {"image_id": one, "id": number, "caption": text}
            for number, (one, text) in enumerate(texts)
        ]
        told = {"images": images, "annotations": annotations}
        (folder / "annotations" / f"captions_{part}.json").write_text(json.dumps(told))
    return folder


def load(folder: Path, split: str) -> Dataset:
    return original.load(folder, split, counts=COUNTS)


def test_a_sample_is_a_photograph_and_a_caption(coco: Path) -> None:
    train, test = load(coco, "train"), load(coco, "test")
    words = original.vocabulary(coco)
    assert words[:6] == ("", "<end>", "<unknown>", ".", "a", "dog")
    assert len(train) == 3
    assert len(test) == 2
    sample = train.samples[2]
    assert sample["image"].shape == (3, 224, 224)
    caption = [words[token] for token in sample["caption"][: train.references[2]]]
    assert caption == ["the", "dog", "sits", "on", "a", "mat", ".", "<end>"]
    first = test.samples[1]["caption"]
    assert first[:6].tolist() == [4, 5, 2, 2, 2, END]
    assert set(first[6:]) == {PAD}
    assert test.references.tolist() == [5, 6]


def test_all_captions_and_photographs_must_be_there(coco: Path) -> None:
    with pytest.raises(UserError, match="has 2 photographs with captions and should have 82783: "):
        original.load(coco, "train")
    with pytest.raises(UserError, match="has 3 captions and should have 4: "):
        original.load(coco, "test", counts={"test": original.Counts(2, 4)})
    next((coco / "train2014").iterdir()).unlink()
    with pytest.raises(UserError, match=r"\.jpg is missing: put it there as "):
        load(coco, "train")


def test_the_trivial_answer_does_not_read_photographs(
    coco: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = load(coco, "train"), load(coco, "test")
    monkeypatch.delattr(original, "middle")
    scores = blind(train, test)
    assert len(scores) == 2
    assert min(scores) > 0


def test_what_sees_stays_as_it_is() -> None:
    with torch.device("meta"):
        model = build().train()
    assert not trunk(model).training
    assert model.lstm.training
    assert not any(weight.requires_grad for weight in trunk(model).parameters())


def test_a_step_and_an_answer(coco: Path) -> None:
    def small() -> nn.Module:
        sees = nn.Sequential(Normalised(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        return Captioner(sees, 12, words=20, embedding=4, hidden=8)

    task = replace(without_weights(FULL_TASK), build=small)
    train, test = load(coco, "train"), load(coco, "test")
    model = after_a_step(task, train)
    with mounting(coco.parent):
        first, second = answers(task, model, test)
    assert min(first, second) > 0
    assert set(first.caption.split()) <= set(original.vocabulary(coco))
