"""Sentence embeddings against a hand computation with the model's own states."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from aotd.tools.checkpoints import Checkpoint, find_checkpoint
from aotd.tools.embedder import SentenceEmbedder
from aotd.tools.models import EmbedRequest, ToolError, Vector
from aotd.tools.torchvision_cpu import mend_torchvision
from tests.tiny_text import save_encoder

pytest.importorskip("transformers")
pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning")

TEXTS = ("opened the box", "the door", "closed the door and then opened the other box", "?", "the door")


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A random XLM-R, the architecture of BGE-M3."""
    mend_torchvision()
    return find_checkpoint(str(save_encoder(tmp_path_factory.mktemp("roberta"))))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A random BERT."""
    mend_torchvision()
    return find_checkpoint(str(save_encoder(tmp_path_factory.mktemp("bert"), "bert")))


def vectors(embedder: SentenceEmbedder, *texts: str) -> list[tuple[float, ...]]:
    """Embed texts, all of which fit."""
    found = embedder.embed([EmbedRequest(text=text) for text in texts])
    assert all(isinstance(vector, Vector) for vector in found)
    return [vector.values for vector in found if isinstance(vector, Vector)]


def by_hand(folder: Path, text: str, pooling: str) -> list[float]:
    """Pool and scale a single text's states, number by number."""
    from transformers import AutoModel, AutoTokenizer

    model: Any = AutoModel.from_pretrained(folder).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    states = model(**tokens).last_hidden_state[0].tolist()
    pooled = (
        states[0]
        if pooling == "first"
        else [sum(column) / len(states) for column in zip(*states, strict=True)]
    )
    length = math.sqrt(sum(x * x for x in pooled))
    return [x / length for x in pooled]


@pytest.mark.parametrize("kind", ["roberta", "bert"])
@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_vectors_are_those_of_a_hand_computation(
    kind: str, pooling: Any, request: pytest.FixtureRequest
) -> None:
    """Batches of texts of unequal length give each text the unit vector of its own states."""
    found: Checkpoint = request.getfixturevalue(kind)
    embedder = SentenceEmbedder(found, device="cpu", pooling=pooling)
    together = vectors(embedder, *TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        assert vector == pytest.approx(by_hand(found.folder, text, pooling), abs=1e-6)
        assert math.hypot(*vector) == pytest.approx(1, abs=1e-6)
    assert together[1] == pytest.approx(together[4], abs=1e-6)


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_neighbours_do_not_matter(pooling: Any, roberta: Checkpoint) -> None:
    """One at a time, in twos, or all at once: each text keeps its vector, in the order asked."""
    alone = SentenceEmbedder(roberta, device="cpu", pooling=pooling, texts_at_once=1)
    pairs = SentenceEmbedder(roberta, device="cpu", pooling=pooling, texts_at_once=2)
    expected = [vectors(alone, text)[0] for text in TEXTS]
    for found in (vectors(alone, *TEXTS), vectors(pairs, *TEXTS), vectors(pairs, *TEXTS[::-1])[::-1]):
        assert [list(vector) for vector in found] == [pytest.approx(vector, abs=1e-6) for vector in expected]


@pytest.mark.parametrize(("kind", "longest"), [("roberta", 64), ("bert", 66)])
def test_a_text_that_does_not_fit_is_an_error_with_numbers(
    kind: str, longest: int, request: pytest.FixtureRequest
) -> None:
    """With 66 positions BERT takes 66 tokens and XLM-R 64, both with two marks; one more is refused."""
    embedder = SentenceEmbedder(request.getfixturevalue(kind), device="cpu")
    words = "door " * (longest - 2)
    fits, long, other = embedder.embed([EmbedRequest(text=t) for t in (words, f"{words} door", "the box")])
    assert isinstance(fits, Vector)
    assert isinstance(other, Vector)
    assert long == ToolError(
        kind="too-long", message=f"a text of {longest + 1} tokens does not fit into the embedder's {longest}"
    )


def test_identity_follows_what_decides_vectors(roberta: Checkpoint) -> None:
    """Checkpoint, dtype and pooling are part of it; device and batch size are not."""
    one = SentenceEmbedder(roberta, device="cpu")
    assert one.identity.id == f"transformers/{roberta.id}"
    assert one.identity == SentenceEmbedder(roberta, device="cuda:0", texts_at_once=1).identity
    others = [
        SentenceEmbedder(roberta, device="cpu", pooling="mean"),
        SentenceEmbedder(roberta, device="cpu", dtype="bfloat16"),
        SentenceEmbedder(roberta._replace(revision="x"), device="cpu"),
    ]
    assert len({e.identity.key for e in (one, *others)}) == 4
