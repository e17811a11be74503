"""The rule selector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from aotd.tools.checkpoints import find_checkpoint
from aotd.tools.embedder import SentenceEmbedder
from aotd.tools.models import Choice, EmbedRequest, ModelIdentity, SelectRequest, ToolError, Vector
from aotd.tools.selector import RuleSelector
from aotd.tools.torchvision_cpu import mend_torchvision
from tests.tiny_text import save_encoder

OPTIONS = ("The bag.", "The sandwich.", "The laptop.", "The sandwich.")


def choose(info: dict[str, object], options: tuple[str, ...] | None = OPTIONS) -> Choice:
    """Select once."""
    request = SelectRequest.model_validate({"query": "q", "info": info, "options": options})
    (choice,) = RuleSelector().select([request])
    assert isinstance(choice, Choice)
    return choice


@pytest.mark.parametrize(
    ("info", "chosen"),
    [
        ({"object": ["sandwich"]}, "The sandwich."),
        ({"object": ["The sandwich."], "summary": ""}, "The sandwich."),
        ({"actions": ["put down the sandwich"]}, "The sandwich."),
        ({"nested": {"deep": ["take the bag"]}}, "The bag."),
        ({"object": "THE SANDWICH", "other": "take the bag"}, "The sandwich."),
    ],
)
def test_one_supported_option_is_chosen(info: dict[str, object], chosen: str) -> None:
    """The one distinct option that the evidence names is chosen, equal words before equal meaning."""
    assert choose(info).text == chosen


@pytest.mark.parametrize(
    "info",
    [{}, {"object": []}, {"object": ["sandwich", "bag"]}, {"object": ["rhinoceros"]}, {"n": 3, "ok": True}],
)
def test_no_or_several_supported_options_are_no_choice(info: dict[str, object]) -> None:
    """Without exactly one supported option the selector abstains."""
    assert choose(info).text is None


def test_verb_options_need_the_verb_and_pair_options_need_both() -> None:
    """An option is supported by what it says: a verb alone, or verb and object together."""
    assert choose({"a": ["put down the sandwich"]}, ("Put down.", "Ate.")).text == "Put down."
    pairs = ("Put down the sandwich.", "Put down the bag.", "Took the sandwich.")
    assert choose({"a": ["put down the sandwich"]}, pairs).text == "Put down the sandwich."


def test_open_evidence_that_says_one_thing_is_the_answer() -> None:
    """Without options the only distinct text is given, and two are no answer."""
    assert choose({"a": ["red"], "b": "red"}, None).text == "red"
    assert choose({"a": ["red"], "b": "blue"}, None).text is None


class Compass:
    """An embedder in the plane: each text points in the direction that a table gives, in degrees."""

    reads_pixels = False

    def __init__(self, **degrees: float) -> None:
        self.identity = ModelIdentity(id="compass")
        self.asked: list[list[str]] = []
        self._degrees = degrees

    def embed(self, requests: Sequence[EmbedRequest]) -> Sequence[Vector | ToolError]:
        """Give directions; a text that is not in the table does not fit."""
        self.asked.append([request.text for request in requests])
        return [self._vector(request.text) for request in requests]

    def _vector(self, text: str) -> Vector | ToolError:
        if text not in self._degrees:
            return ToolError(kind="too-long", message=f"no room for {text}")
        angle = math.radians(self._degrees[text])
        return Vector(values=(math.cos(angle), math.sin(angle)))


SHORES = ("brook", "hill", "beach")
COMPASS = {
    "brook": 0.0,
    "hill": 90.0,
    "beach": 180.0,
    "stream": 20.0,
    "slope": 88.0,
    "bank": 44.8,
    "sky": 300.0,
}


def by_meaning(
    compass: Compass, *requests: tuple[tuple[str, ...] | None, dict[str, object]]
) -> list[Choice | ToolError]:
    """Select with an embedder: cosine at least 0.6, ahead by at least 0.02."""
    asked = [
        SelectRequest.model_validate({"query": "q", "info": info, "options": options})
        for options, info in requests
    ]
    return list(RuleSelector(compass, least_cosine=0.6, margin=0.02).select(asked))


@pytest.mark.parametrize(
    ("info", "chosen", "note"),
    [
        ({"a": "stream"}, "brook", "rule: meaning (cosine 0.94 to 'stream')"),
        ({"a": ["sky", "slope"]}, "hill", "rule: meaning (cosine 1.00 to 'slope')"),
        ({"a": "bank"}, None, "two options are alike to the evidence: 'brook' (0.71) and 'hill' (0.70)"),
        ({"a": "sky"}, None, "no option is like the evidence: 'brook' comes nearest (0.50)"),
        ({"a": "stream", "b": "beach"}, "beach", "rule: same words"),
        ({"a": "stream", "b": ["beach", "hill"]}, None, "2 options are supported by the evidence"),
        ({}, None, "0 options are supported by the evidence"),
    ],
)
def test_an_embedder_decides_what_words_leave_open(
    info: dict[str, object], chosen: str | None, note: str
) -> None:
    """The nearest option counts if it is near enough and alone; words, and their contradictions, go first."""
    (choice,) = by_meaning(Compass(**COMPASS), (SHORES, info))
    assert isinstance(choice, Choice)
    assert choice.text == chosen
    assert choice.notes == (note,)


def test_without_an_embedder_only_words_count() -> None:
    """What words leave open stays open, and the identity is another one."""
    (plain,) = RuleSelector().select([SelectRequest(query="q", info={"a": "stream"}, options=SHORES)])
    assert plain == Choice(text=None, notes=("0 options are supported by the evidence",))
    selectors = [
        RuleSelector(),
        RuleSelector(Compass()),
        RuleSelector(Compass(), least_cosine=0.7),
        RuleSelector(Compass(), margin=0.1),
    ]
    assert len({selector.identity.key for selector in selectors}) == 4
    assert RuleSelector(Compass()).identity.id == "rule/selector+compass"


@pytest.mark.parametrize(("text", "same"), [("stream", True), ("bank", True), ("slope", False)])
def test_a_comparison_is_by_meaning_too(text: str, same: bool) -> None:  # noqa: FBT001
    """Two texts mean the same if they are near enough; there is nothing to be ahead of."""
    compass = Compass(**COMPASS)
    request = SelectRequest(task="compare", query="", info={"text": text}, options=("brook",))
    (choice,) = RuleSelector(compass).select([request])
    assert isinstance(choice, Choice)
    assert choice.text == ("brook" if same else None)


def test_texts_of_a_batch_are_embedded_once_and_errors_stay_with_their_requests() -> None:
    """Only what words leave open is embedded, each text once, and a text that fails fails its own request."""
    compass = Compass(**COMPASS)
    chosen = by_meaning(
        compass,
        (SHORES, {"a": "stream"}),
        (SHORES, {"a": "hill"}),
        (SHORES, {"a": "unheard of"}),
        (None, {"a": "stream"}),
        (SHORES[:2], {"a": ["slope", "stream", "slope"]}),
    )
    assert compass.asked == [["brook", "hill", "beach", "stream", "unheard of", "slope"]]
    texts = [choice.text if isinstance(choice, Choice) else choice.kind for choice in chosen]
    assert texts == ["brook", "hill", "too-long", "stream", "hill"]
    compass.asked.clear()
    assert isinstance(by_meaning(compass, (SHORES, {"a": "hill"}))[0], Choice)
    assert compass.asked == []


@pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning")
def test_cosines_are_those_of_the_encoder(tmp_path: Path) -> None:
    """With a real encoder the note gives the cosine of the two texts' vectors."""
    pytest.importorskip("transformers")
    mend_torchvision()
    embedder = SentenceEmbedder(find_checkpoint(str(save_encoder(tmp_path))), device="cpu")
    option, text = embedder.embed([EmbedRequest(text="the door"), EmbedRequest(text="box")])
    assert isinstance(option, Vector)
    assert isinstance(text, Vector)
    cosine = sum(a * b for a, b in zip(option.values, text.values, strict=True))
    request = SelectRequest(query="q", info={"a": "box"}, options=("the door",))
    for least, said in ((max(0.0, cosine - 1e-3), "the door"), (cosine + 1e-3, None)):
        (choice,) = RuleSelector(embedder, least_cosine=least).select([request])
        assert isinstance(choice, Choice)
        assert choice.text == said
        assert f"{cosine:.2f}" in choice.notes[0]
