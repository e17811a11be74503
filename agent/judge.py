"""What judges do: whether a chain of thought is sound, and whether an open answer means the right one.

A judge is asked last, after every mechanical check. Its words are kept; a reply that is neither yes nor no
is no verdict in favour. What it judges is quoted to it as data, and only its own reply is read, by the words
that it begins with: no text inside a chain, a question or an answer can be taken for a verdict. This file
scores no multiple choice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from aotd.prompts.loader import BUILT_IN, Prompt, Templates
from aotd.prompts.quoting import quoted
from aotd.tools.models import Message, TextRequest, ToolError
from aotd.tools.text_role import TextRole
from aotd.traces.records import Question, Rationale, Verdict

__all__ = ["AnswerJudge", "Judge", "LlmAnswerJudge", "LlmJudge"]

_MARKS: Final = r"[\s*_.,:;()/&#\u2013\u2014-]*"
"""What may stand around a leading word. No quotation marks: what is quoted is not the judge's own."""
_WORD: Final = r"(?P<{}>(?ai:yes|no|true|false))\b"
_ONE: Final = re.compile(_MARKS + _WORD.format("one"))
_BOTH: Final = re.compile(
    rf"{_MARKS}(?:1{_MARKS})?(?:(?ai:step[ -]by[ -]step){_MARKS})?{_WORD.format('steps')}"
    rf"{_MARKS}(?:(?ai:and)\b{_MARKS})?(?:2{_MARKS})?(?:(?ai:helpful){_MARKS})?{_WORD.format('helps')}"
)
_YES: Final = frozenset({"yes", "true"})
_LONGEST: Final = 200
"""Characters of a judge's sentence that go into the reason."""


class Judge(Protocol):
    """Judges chains of thought by the two criteria of AoTD: step by step, and helpful."""

    @property
    def identity(self) -> str:
        """What decides the judge's verdicts; it goes into the manifest."""
        ...

    @property
    def prompts(self) -> Mapping[str, str]:
        """SHA-256 of its prompts by name."""
        ...

    async def judge(self, question: Question, rationale: Rationale) -> Verdict:
        """Judge a chain; the verdict's check is `judge`."""
        ...


class AnswerJudge(Protocol):
    """Judges whether an open-ended answer means the same as the truth."""

    @property
    def identity(self) -> str:
        """What decides the judge's verdicts; it goes into the manifest."""
        ...

    @property
    def prompts(self) -> Mapping[str, str]:
        """SHA-256 of its prompts by name."""
        ...

    async def same(self, question: Question, answer: str) -> Verdict | None:
        """Compare; the verdict's check is `answer`. None if the judge's words say neither yes nor no."""
        ...


class _Asked(NamedTuple):
    """A judge's reply, or why there is none, and the hash of what it was asked."""

    reply: str | None
    error: str
    sha256: str


class LlmJudge:
    """Judges a chain by a chat model: a word for step by step, one for helpful, and a sentence that says why.

    Parameters
    ----------
    role
        The model, behind its front.
    show_gold
        Let the judge see the true answer; AoTD's filter does not.
    templates
        The prompts.
    """

    def __init__(self, role: TextRole, *, show_gold: bool = False, templates: Templates = BUILT_IN) -> None:
        self._role = role
        self._show_gold = show_gold
        self._prompt = templates["judge"]

    @property
    def identity(self) -> str:
        """`llm/`, the model's identity, a hash of the prompt, and `/gold` if it sees the truth."""
        gold = "/gold" if self._show_gold else ""
        return f"llm/{self._role.identity}/{self._prompt.sha256[:16]}{gold}"

    @property
    def prompts(self) -> Mapping[str, str]:
        """SHA-256 of its prompts by name."""
        return {self._prompt.name: self._prompt.sha256}

    async def judge(self, question: Question, rationale: Rationale) -> Verdict:
        """Judge a chain; anything but two clear words in its favour fails it."""
        case: dict[str, object] = {"question": question.text}
        if question.options is not None:
            case["options"] = list(question.options)
        case["chain of thought"] = [sentence.text for sentence in rationale.sentences]
        if self._show_gold and question.answer is not None:
            case["true answer"] = question.answer
        asked = await _ask(self._role, self._prompt, case, f"{question.id}/judge", choices=None)
        passed, reason = _judged(asked)
        return Verdict(check="judge", passed=passed, reason=reason, raw=asked.reply, prompt=asked.sha256)


class LlmAnswerJudge:
    """Compares open-ended answers by a chat model.

    Parameters
    ----------
    role
        The model, behind its front.
    templates
        The prompts.
    """

    def __init__(self, role: TextRole, templates: Templates = BUILT_IN) -> None:
        self._role = role
        self._prompt = templates["answer_judge"]

    @property
    def identity(self) -> str:
        """`llm/`, the model's identity and a hash of the prompt."""
        return f"llm/{self._role.identity}/{self._prompt.sha256[:16]}"

    @property
    def prompts(self) -> Mapping[str, str]:
        """SHA-256 of its prompts by name."""
        return {self._prompt.name: self._prompt.sha256}

    async def same(self, question: Question, answer: str) -> Verdict | None:
        """Compare; None if the model fails, if it says neither yes nor no, or if no truth is known."""
        if question.answer is None:
            return None
        case = {"question": question.text, "reference": question.answer, "answer": answer}
        asked = await _ask(
            self._role, self._prompt, case, f"{question.id}/answer_judge", choices=("yes", "no")
        )
        said = _ONE.match(asked.reply or "")
        if said is None:
            return None
        passed = said["one"].lower() in _YES
        reason = f'judged {"the same as" if passed else "different from"} the truth "{question.answer}"'
        return Verdict(check="answer", passed=passed, reason=reason, raw=asked.reply, prompt=asked.sha256)


async def _ask(
    role: TextRole, template: Prompt, case: object, context: str, *, choices: tuple[str, ...] | None
) -> _Asked:
    text = template.render({"case": quoted(case)})
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    request = TextRequest(role="judge", messages=(Message(role="user", content=text),), choices=choices)
    reply = await role.ask(request, context=context)
    if isinstance(reply, ToolError):
        return _Asked(None, f"the judge failed: {reply.kind}: {reply.message}", sha256)
    return _Asked(reply.text, "", sha256)


def _judged(asked: _Asked) -> tuple[bool, str]:
    """Read the two leading words of a reply."""
    if asked.reply is None:
        return False, asked.error
    said = _BOTH.match(asked.reply)
    if said is None:
        return False, "the judge said neither yes nor no"
    steps, helps = (said[name].lower() in _YES for name in ("steps", "helps"))
    why = " ".join(asked.reply[said.end() :].split()).lstrip(" .,:;*_-")
    found = [text for text, holds in (("not step by step", steps), ("not helpful", helps)) if not holds]
    reason = " and ".join(found) or "step by step and helpful"
    return steps and helps, f"{reason}: {why[:_LONGEST]}" if why else reason
