"""The rule selector: choose the one option that the collected evidence names, or abstain.

Evidence is every text in `info`, however nested; an option is supported when a text says the same, or when
STAR's vocabulary reads the same verb and object in both. Two different supported options are no choice. No
language model and no guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import JsonValue

from aotd.tools.models import Choice, ModelIdentity, SelectRequest, ToolError
from aotd.traces.answers import normalise
from aotd.traces.star_phrases import parse_phrase

__all__ = ["RuleSelector"]


class RuleSelector:
    """Selection by equal words, then by equal verb and object."""

    reads_pixels = False

    def __init__(self) -> None:
        self.identity = ModelIdentity(id="rule/selector", revision="1")

    def select(self, requests: Sequence[SelectRequest]) -> Sequence[Choice | ToolError]:
        """Choose for each request."""
        return [self._choose(r) for r in requests]

    def _choose(self, request: SelectRequest) -> Choice:
        evidence = [text for text in _texts(request.info) if text.strip()]
        if request.options is None:
            return _only(dict.fromkeys(evidence), "the evidence says one thing")
        said = {normalise(text) for text in evidence}
        same = dict.fromkeys(o for o in request.options if normalise(o) in said)
        if same:
            return _only(same, "same words")
        fitting = dict.fromkeys(o for o in request.options if any(_means(o, text) for text in evidence))
        return _only(fitting, "same verb and object")


def _only(found: dict[str, None], rule: str) -> Choice:
    if len(found) == 1:
        return Choice(text=next(iter(found)), notes=(f"rule: {rule}",))
    return Choice(text=None, notes=(f"{len(found)} options are supported by the evidence",))


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)


def _means(option: str, text: str) -> bool:
    """Tell whether a text says what an option says: its verb, its object, or both."""
    wanted, said = parse_phrase(option), parse_phrase(text)
    if wanted.verb is None and wanted.obj is None:
        return False
    return wanted.verb in (None, said.verb) and wanted.obj in (None, said.obj)
