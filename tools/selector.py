"""The rule selector: choose the one option that the collected evidence names, or abstain.

Evidence is every text in `info`, however nested. An option is supported when a text says the same, or when
STAR's vocabulary reads the same verb and object in both; where that supports none and there is an embedder,
when a text means nearly the same. Two different supported options are no choice. Every choice says which rule
made it. No language model and no guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import mul
from typing import Final, NamedTuple

from pydantic import JsonValue

from aotd.tools.deeds import fits
from aotd.tools.models import Choice, Embedder, EmbedRequest, ModelIdentity, SelectRequest, ToolError, Vector
from aotd.traces.answers import normalise
from aotd.traces.star_phrases import parse_phrase

__all__ = ["RuleSelector"]

_NOTHING: Final = Choice(text=None, notes=("0 options are supported by the evidence",))


class _Open(NamedTuple):
    """A request that equal words decide nothing about."""

    place: int
    options: list[str]
    """Distinct."""
    evidence: list[str]


class RuleSelector:
    """Selection by equal words, then by equal verb and object, then by like meaning.

    Parameters
    ----------
    embedder
        Tells how alike two texts are; without one, only words count.
    least_cosine
        Cosine that an option must have with a text of the evidence.
    margin
        By how much the best option must be ahead of the next one.
    """

    reads_pixels = False

    def __init__(
        self, embedder: Embedder | None = None, *, least_cosine: float = 0.6, margin: float = 0.02
    ) -> None:
        self._embedder = embedder
        self._least_cosine = least_cosine
        self._margin = margin
        self.identity = ModelIdentity(id="rule/selector", revision="1")
        if embedder is not None:
            like = embedder.identity
            self.identity = ModelIdentity(
                id=f"rule/selector+{like.id}",
                revision="1",
                settings={"embedder": like.key, "least_cosine": least_cosine, "margin": margin},
            )

    def select(self, requests: Sequence[SelectRequest]) -> Sequence[Choice | ToolError]:
        """Choose for each request."""
        decided: list[Choice | ToolError | None] = []
        undecided: list[_Open] = []
        for place, request in enumerate(requests):
            evidence = [text for text in _texts(request.info) if text.strip()]
            decided.append(_by_words(request.options, evidence))
            if decided[-1] is None:
                options = list(dict.fromkeys(request.options or ()))
                undecided.append(_Open(place, options, list(dict.fromkeys(evidence))))
        for one, choice in zip(undecided, self._by_meaning(undecided), strict=True):
            decided[one.place] = choice
        return [choice for choice in decided if choice is not None]

    def _by_meaning(self, undecided: Sequence[_Open]) -> list[Choice | ToolError]:
        if self._embedder is None:
            return [_NOTHING] * len(undecided)
        asked = [one for one in undecided if one.options and one.evidence]
        texts = list(dict.fromkeys(text for one in asked for text in (*one.options, *one.evidence)))
        embedded = self._embedder.embed([EmbedRequest(text=text) for text in texts]) if texts else ()
        found = dict(zip(texts, embedded, strict=True))
        vectors = {text: vector.values for text, vector in found.items() if isinstance(vector, Vector)}
        errors = {text: error for text, error in found.items() if isinstance(error, ToolError)}
        return [
            next((errors[text] for text in (*one.options, *one.evidence) if text in errors), None)
            or self._nearest(one, vectors)
            for one in undecided
        ]

    def _nearest(self, one: _Open, vectors: dict[str, tuple[float, ...]]) -> Choice:
        """Choose the option that is nearest to a text of the evidence, if it is near and alone."""
        if not one.options or not one.evidence:
            return _NOTHING
        ranked = sorted((_likest(option, one.evidence, vectors) for option in one.options), reverse=True)
        cosine, text, option = ranked[0]
        if cosine < self._least_cosine:
            return Choice(
                text=None, notes=(f"no option is like the evidence: {option!r} comes nearest ({cosine:.2f})",)
            )
        if len(ranked) > 1 and cosine - ranked[1][0] < self._margin:
            both = f"{option!r} ({cosine:.2f}) and {ranked[1][2]!r} ({ranked[1][0]:.2f})"
            return Choice(text=None, notes=(f"two options are alike to the evidence: {both}",))
        return Choice(text=option, notes=(f"rule: meaning (cosine {cosine:.2f} to {text!r})",))


def _by_words(options: Sequence[str] | None, evidence: Sequence[str]) -> Choice | None:
    """Choose what words decide; None if they speak for no option."""
    if options is None:
        return _only(dict.fromkeys(evidence), "the evidence says one thing")
    said = {normalise(text) for text in evidence}
    same = dict.fromkeys(o for o in options if normalise(o) in said)
    if same:
        return _only(same, "same words")
    fitting = dict.fromkeys(
        o for o in options if any(fits(parse_phrase(o), parse_phrase(text)) for text in evidence)
    )
    return _only(fitting, "same verb and object") if fitting else None


def _only(found: dict[str, None], rule: str) -> Choice:
    if len(found) == 1:
        return Choice(text=next(iter(found)), notes=(f"rule: {rule}",))
    return Choice(text=None, notes=(f"{len(found)} options are supported by the evidence",))


def _likest(
    option: str, evidence: Sequence[str], vectors: dict[str, tuple[float, ...]]
) -> tuple[float, str, str]:
    """Find the text of the evidence that an option is most like: cosine, text, option."""
    wanted = vectors[option]
    return max((sum(map(mul, wanted, vectors[text])), text, option) for text in evidence)


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
