"""What each recorded call can vouch for: boxes, windows, frames, counts and words.

One `Testimony` per call, taken from its record alone. Reads no rationale and judges none; the writer and
the faithfulness check share it, so both mean the same by "what call 3 found".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from pydantic import JsonValue

from aotd.traces.answers import match_option, normalise, render
from aotd.traces.handles import clips, entries, handle, runs
from aotd.traces.records import Box, Call, Clip, Question, Trace

__all__ = ["Testimony", "answer_text", "contains", "sources", "stems", "testimonies", "texts"]

_ABOUT_A_PERSON: Final = frozenset({"Filter_frames_with_act", "Query_Objs", "Query_Actions"})
"""Functions whose meaning names the person, whatever their arguments say."""

_NARROWING: Final = frozenset({"Filter_frames_with_act", "Filter_frames_with_obj", "trim"})


_NO_SUBJECT: Final = frozenset({"possible_answers", "start", "end"})
"""Arguments that say nothing of what was looked for."""


class Testimony(NamedTuple):
    """What one call vouches for; words are stems, windows half-open `[start, end)` on the grid."""

    call: Call
    boxes: frozenset[tuple[int, Box, str]]
    """Frame, box, and the stems of a name that it may be told under."""
    asked: frozenset[tuple[int, int]]
    """Windows of the clips that the call looked at, and the borders given to `trim`."""
    borders: tuple[frozenset[int], frozenset[int]]
    """Start and end given to `trim`, as far as they were."""
    given: frozenset[tuple[int, int]]
    """Windows of the clip that the call gave: the whole, and each run of consecutive frames."""
    frames: frozenset[int]
    """Frames that may be spoken of: of the clip given or else looked at, and the borders of all windows."""
    counted: int | None
    """Result of `Count`."""
    lengths: frozenset[int]
    """Numbers of frames of the clips involved."""
    subject: tuple[str, ...]
    """What was asked, text by text."""
    found: tuple[str, ...]
    """What was answered, text by text."""
    quotable: tuple[str, ...]
    """Every text of the record but the options, as it stands."""
    options: tuple[str, ...]
    captions: frozenset[tuple[int, str]]
    """What `Video_caption` says of each frame."""
    seen: bool | None
    """Whether something was found; None if the call does not say."""

    @property
    def starts(self) -> frozenset[int]:
        """Frames at which a window of the call starts."""
        return frozenset(start for start, _ in self.asked | self.given) | self.borders[0]

    @property
    def ends(self) -> frozenset[int]:
        """Frames before which a window of the call ends."""
        return frozenset(end for _, end in self.asked | self.given) | self.borders[1]

    @property
    def narrows(self) -> bool:
        """Whether the call's finding is a window."""
        return self.call.function in _NARROWING

    @property
    def words(self) -> tuple[str, ...]:
        """Everything that may be told of in the call's name."""
        person = ("person",) if self.call.function in _ABOUT_A_PERSON else ()
        return (*self.subject, *self.found, *(name for _, _, name in self.boxes), *person)


def testimonies(trace: Trace) -> dict[int, Testimony]:
    """Return what each call of a trace vouches for, by the call's number."""
    named = clips(trace)
    return {call.number: _testimony(call, named) for call in trace.calls}


def _testimony(call: Call, named: dict[str, Clip]) -> Testimony:
    looked_at = [named[h] for h in _handles(list(call.args.values())) if h in named]
    result = call.result if isinstance(call.result, Clip) else None
    asked = {w for clip in looked_at for w in _windows(clip)}
    first, last = (call.args.get(name) for name in ("start", "end"))
    borders = tuple(frozenset({edge} if isinstance(edge, int) else ()) for edge in (first, last))
    if isinstance(first, int) and isinstance(last, int):
        asked.add((first, last))
    given = _windows(result) if result else set()
    shown = [result] if result else [clip for clip in looked_at if call.function != "select_answer"]
    frames = {g for clip in shown for g in clip.grid_ids} | {s.frame for s in call.sightings}
    frames |= {edge for window in asked | given for edge in window}
    frames |= borders[0] | borders[1]
    subject = [t for key, v in call.args.items() if key not in _NO_SUBJECT for t in texts(v)]
    found = texts(call.result) if isinstance(call.result, str | list) else []
    error = [call.error.message] if call.error else []
    names = {stems(name) for name in [*(s.name for s in call.sightings), *subject]}
    return Testimony(
        call=call,
        boxes=frozenset((s.frame, s.box, name) for s in call.sightings for name in names),
        asked=frozenset(asked),
        borders=(borders[0], borders[1]),
        given=frozenset(given),
        frames=frozenset(frames),
        counted=call.result if call.function == "Count" and isinstance(call.result, int) else None,
        lengths=frozenset(clip.num_frames for clip in [*looked_at, *([result] if result else [])]),
        subject=tuple(map(stems, subject)),
        found=tuple(map(stems, found)),
        quotable=(*subject, *found, *error, *call.notes),
        options=tuple(texts(call.args.get("possible_answers"))),
        captions=frozenset(_captions(call, looked_at)),
        seen=_seen(call),
    )


def _seen(call: Call) -> bool | None:
    """Tell whether a call found something; what captions and summaries tell, and failed tools, do not say."""
    if call.error is not None:
        return False if call.error.kind == "EmptyClip" else None
    if call.function in {"Video_summary", "Video_caption"} and call.result:
        return None
    return call.result.num_frames > 0 if isinstance(call.result, Clip) else bool(call.result)


def _captions(call: Call, looked_at: list[Clip]) -> Iterator[tuple[int, str]]:
    captions = call.result if call.function == "Video_caption" and isinstance(call.result, list) else []
    for clip in looked_at[:1]:
        if clip.num_frames == len(captions):
            yield from zip(clip.grid_ids, captions, strict=True)


def _windows(clip: Clip) -> set[tuple[int, int]]:
    return {(clip.start, clip.end), *runs(clip.grid_ids)} if clip.grid_ids else set()


def _handles(values: Iterable[JsonValue]) -> Iterator[str]:
    for value in values:
        name = handle(value)
        if name is not None:
            yield name
        elif isinstance(value, list):
            yield from _handles(value)
        else:
            yield from _handles(inner for _, inner in entries(value))


def texts(value: object) -> list[str]:
    """Return the texts and numbers in a recorded value, keys of dicts included, in order."""
    match value:
        case bool():
            return []
        case str() | int() | float():
            return [str(value)]
        case list():
            return [text for item in value for text in texts(item)]
        case dict() if handle(value) is None:
            return [text for key, item in entries(value) for text in (key, *texts(item))]
        case _:
            return []


def stems(text: str) -> str:
    """Normalise a text and take plural endings off, so that "the cups" and "cup" are the same."""
    return " ".join(_stem(word) for word in normalise(re.sub(r"[/_-]", " ", text)).split())


def _stem(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def contains(text: str, words: str) -> bool:
    """Tell whether `words` stand in `text`, one after another; both are stems."""
    return bool(words) and f" {words} " in f" {text} "


def answer_text(question: Question, trace: Trace) -> str | None:
    """Return the trace's answer as it should be told: the option it means, or its own words."""
    if trace.answer is None or trace.failure is not None:
        return None
    said = render(trace.answer).strip()
    if question.options is None:
        return said or None
    index = match_option(said, question.options).index
    return (said if index is None else question.options[index].strip()) or None


def sources(question: Question, trace: Trace) -> tuple[int, ...]:
    """Return the calls that gave the answer word for word: those that selected it, else any that found it."""
    if trace.answer is None:
        return ()
    wanted = {normalise(render(trace.answer)), normalise(answer_text(question, trace) or "")} - {""}
    gave = [call for call in trace.calls if _gave(call, wanted)]
    selected = [call for call in gave if call.function == "select_answer"]
    return tuple(call.number for call in selected or gave)


def _gave(call: Call, wanted: set[str]) -> bool:
    if call.result is None or isinstance(call.result, Clip):
        return False
    items = call.result if isinstance(call.result, list) else []
    return any(normalise(text) in wanted for text in (render(call.result), *items))
