"""The writer that asks a chat model to retell a trace, and reads its reply line by line.

The model gets the question, the numbered calls with what they found, and the program's answer; never the
truth. Each line of its reply is a sentence that ends with the numbers of the calls it rests on. A reply that
does not keep to that is no chain of thought, and nothing is put in its place. Whether what it says is so is
for the checks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from aotd.agent.evidence import answer_text
from aotd.agent.write import Unwritten
from aotd.prompts.loader import BUILT_IN, Templates
from aotd.prompts.quoting import quoted
from aotd.tools.api import API
from aotd.tools.models import Message, TextRequest, ToolError
from aotd.tools.text_role import TextRole
from aotd.traces.handles import clip_argument, clips, entries, handle, runs
from aotd.traces.records import Call, Clip, Question, Rationale, Sentence, Trace

__all__ = ["LlmWriter"]

_CITATION: Final = re.compile(
    r"(?P<calls>(?:\[\s*\d+\s*\]\s*)*\[\s*\d+(?:\s*,\s*\d+)*\s*\])\s*(?P<stop>[.!?]?)$"
)
_BOX_FOLLOWS: Final = re.compile(r"(?:\b(?:at|and|box|in)|[,:])$", re.IGNORECASE)
"""Words after which a bracket is no citation but a box that the line ends with."""
_LIST_MARK: Final = re.compile(r"(?:[-*\u2022]|\d{1,2}[.)])\s+")
_FENCE: Final = re.compile(r"```\w*")
_UNTOLD: Final = frozenset({"clip", "possible_answers"})


class LlmWriter:
    """Writes chains of thought with a chat model.

    Parameters
    ----------
    role
        The model, behind its front.
    templates
        The prompts.
    """

    def __init__(self, role: TextRole, templates: Templates = BUILT_IN) -> None:
        self._role = role
        self._prompt = templates["writer"]

    @property
    def identity(self) -> str:
        """`llm/`, the model's identity and a hash of the prompt."""
        return f"llm/{self._role.identity}/{self._prompt.sha256[:16]}"

    @property
    def prompts(self) -> Mapping[str, str]:
        """SHA-256 of its prompts by name."""
        return {self._prompt.name: self._prompt.sha256}

    async def write(self, question: Question, trace: Trace) -> Rationale | Unwritten:
        """Have a trace retold; `Unwritten` if the model fails or its reply is not in the form asked for."""
        if not trace.calls or answer_text(question, trace) is None:
            return Unwritten("there is no answer, or no call that led to it")
        reply = await self._role.ask(self._request(question, trace), context=f"{question.id}/writer")
        if isinstance(reply, ToolError):
            return Unwritten(f"the model failed: {reply.kind}: {reply.message}")
        if reply.truncated:
            return Unwritten("the reply was cut off")
        read = _read(reply.text, frozenset(call.number for call in trace.calls))
        return read if isinstance(read, Unwritten) else Rationale(writer=self.identity, sentences=read)

    def _request(self, question: Question, trace: Trace) -> TextRequest:
        used = {call.function for call in trace.calls}
        slots = {
            "functions": [function for name, function in API.items() if name in used],
            "lines": [quoted(line) for line in _record(question, trace)],
        }
        message = Message(role="user", content=self._prompt.render(slots))
        return TextRequest(role="writer", messages=(message,))


def _read(text: str, known: frozenset[int]) -> tuple[Sentence, ...] | Unwritten:
    """Read a reply: code fences, list marks and a first line that only announces are left out."""
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not _FENCE.fullmatch(line)]
    if len(lines) > 1 and lines[0].endswith(":"):
        del lines[0]
    sentences = []
    for number, line in enumerate(lines, start=1):
        told = " ".join(_LIST_MARK.sub("", line, count=1).split() if _LIST_MARK.match(line) else line.split())
        cited = _CITATION.search(told)
        words = told[: cited.start()].rstrip() if cited else ""
        if cited is None or _BOX_FOLLOWS.search(words):
            return Unwritten(f'line {number} does not end with call numbers: "{_short(told)}"')
        if not re.search(r"\w", words):
            return Unwritten(f"line {number} cites calls and says nothing")
        calls = tuple(dict.fromkeys(int(digits[:9]) for digits in re.findall(r"\d+", cited["calls"])))
        unknown = [call for call in calls if call not in known]
        if unknown:
            return Unwritten(f"line {number} cites call {unknown[0]}, which the trace does not have")
        sentences.append(Sentence(text=words + cited["stop"], calls=calls))
    return tuple(sentences) or Unwritten("the reply is empty")


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def _record(question: Question, trace: Trace) -> Iterator[dict[str, JsonValue]]:
    """Give what the model is told: windows, boxes and answers in the words that it should use."""
    asked: dict[str, JsonValue] = {"question": _said(question.text)}
    if question.options is not None:
        asked["options"] = [_said(option) for option in question.options]
    yield asked
    named = clips(trace)
    for call in trace.calls:
        yield _told(call, named)
    yield {"answer": _said(answer_text(question, trace) or "")}


def _told(call: Call, named: dict[str, Clip]) -> dict[str, JsonValue]:
    told: dict[str, JsonValue] = {"call": call.number, "function": call.function}
    clip = clip_argument(call)
    if clip in named:
        told["looked at"] = "the whole video" if clip == "clip0" else _frames(named[clip].grid_ids)
    for name, value in call.args.items():
        if name not in _UNTOLD:
            told[name] = _plain(value, named)
    if call.error is not None:
        empty = call.error.kind == "EmptyClip"
        told["failed"] = "no frames to look at" if empty else _said(call.error.message)
    else:
        told["found"] = _found(call, named)
    if call.sightings:
        told["boxes"] = [f"{list(s.box)} in frame {s.frame}" for s in call.sightings]
    return told


def _found(call: Call, named: dict[str, Clip]) -> JsonValue:
    looked_at = named.get(clip_argument(call) or "")
    match call.result:
        case Clip(grid_ids=grid_ids):
            return _frames(grid_ids)
        case bool():
            return "yes" if call.result else "no"
        case None | "" | []:
            return "nothing"
        case list(texts) if (
            call.function == "Video_caption" and looked_at and looked_at.num_frames == len(texts)
        ):
            return {f"frame {g}": _said(text) for g, text in zip(looked_at.grid_ids, texts, strict=True)}
        case list(texts):
            return [_said(text) for text in texts]
        case str(text):
            return _said(text)
        case number:
            return number


def _plain(value: JsonValue, named: dict[str, Clip]) -> JsonValue:
    """Put clips into words."""
    clip = handle(value)
    if clip is not None:
        return _frames(named[clip].grid_ids) if clip in named else "no frames"
    if isinstance(value, dict):
        return {key: _plain(item, named) for key, item in entries(value)}
    if isinstance(value, list):
        return [_plain(item, named) for item in value]
    return _said(value) if isinstance(value, str) else value


def _said(text: str) -> str:
    """Flatten a text, and free the double quotes for whoever quotes it."""
    return " ".join(text.replace('"', "'").split())


def _frames(grid_ids: Sequence[int]) -> str:
    told = [f"frame {s}" if e == s + 1 else f"frames {s} to {e}" for s, e in runs(grid_ids)]
    return " and ".join(filter(None, [", ".join(told[:-1]), told[-1]])) if told else "nothing, no frames"
