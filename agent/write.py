"""Tell a trace as a chain of thought by templates: deterministic English, no model.

One sentence for each call, or for each set of equal calls, and one for the answer; every sentence cites the
calls it rests on. All boxes are told. Windows are half-open as in AoTD's traces: "frames 3 to 9" are the
frames 3, 4, ... 8, and "frame 5" is a window of one. Texts of models stand in double quotes. This file
selects nothing and checks nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from pydantic import JsonValue

from aotd.agent.evidence import answer_text, sources
from aotd.traces.handles import clip_argument, clips, entries, handle, runs
from aotd.traces.records import Call, Clip, Question, Rationale, Sentence, Sighting, Trace
from aotd.traces.star_phrases import inflect, parse_phrase

__all__ = ["TemplateWriter", "Unwritten", "Writer"]

_DETERMINERS: Final = frozenset({"a", "an", "the", "some", "any", "his", "her", "their", "its"})


class _Scene(NamedTuple):
    """What the teller of a sentence knows besides its call."""

    clips: dict[str, Clip]
    shown: frozenset[int]
    """Numbers of the calls whose clip the sentence before left us with."""
    first: bool
    """Nothing was told yet."""


class Unwritten(NamedTuple):
    """Why a writer gave no chain of thought."""

    reason: str


class Writer(Protocol):
    """Tells chains of thought; many are asked for at once."""

    @property
    def identity(self) -> str:
        """What decides the writer's texts; it goes into the manifest."""
        ...

    @property
    def prompts(self) -> Mapping[str, str]:
        """SHA-256 of its prompts by name; none for a writer that asks no language model."""
        ...

    async def write(self, question: Question, trace: Trace) -> Rationale | Unwritten:
        """Tell a trace."""
        ...


class TemplateWriter:
    """Writes the chain of thought of any trace, answered or not."""

    @property
    def identity(self) -> str:
        """Name and version: texts change with the version only."""
        return "template/1"

    @property
    def prompts(self) -> Mapping[str, str]:
        """None."""
        return {}

    async def write(self, question: Question, trace: Trace) -> Rationale:
        """Tell every call in order, then the answer or why there is none."""
        named = clips(trace)
        sentences: list[Sentence] = []
        shown: frozenset[int] = frozenset({0})
        concluding = sources(question, trace)
        for same in _equal_calls(trace.calls, named):
            call = same[0]
            if call.function == "select_answer" and (call.number in concluding or _abstains(call, trace)):
                continue  # the last sentence tells it
            text = _tell(call, _Scene(named, shown, first=not sentences))
            sentences.append(Sentence(text=text, calls=tuple(c.number for c in same)))
            if isinstance(call.result, Clip):
                shown = frozenset(c.number for c in same)
        sentences.append(_conclusion(question, trace))
        return Rationale(writer=self.identity, sentences=tuple(sentences))


def _abstains(call: Call, trace: Trace) -> bool:
    return call == trace.calls[-1] and not call.result and not trace.answer


def _equal_calls(calls: Sequence[Call], named: dict[str, Clip]) -> Iterable[list[Call]]:
    """Group calls of equal function, arguments and result, in order of the first of each group."""
    groups: dict[str, list[Call]] = {}
    for call in calls:
        given = call.model_dump(mode="json", include={"function", "result", "error", "sightings"})
        given["args"] = {name: _resolved(value, named) for name, value in call.args.items()}
        groups.setdefault(json.dumps(given, sort_keys=True), []).append(call)
    return groups.values()


def _resolved(value: JsonValue, named: dict[str, Clip]) -> JsonValue:
    """Replace the handle of a clip by its frames, so that equal clips are equal arguments."""
    clip = named.get(handle(value) or "")
    return value if clip is None else clip.model_dump_json()


def _tell(call: Call, scene: _Scene) -> str:
    """Tell one call."""
    clip = scene.clips.get(clip_argument(call) or "")
    if (call.error and call.error.kind == "EmptyClip") or (clip and not clip.grid_ids):
        return f"There are no frames left in which to {_purpose(call)}."
    if call.error:
        return f"The tool failed when it was to {_purpose(call)}: {_quote(call.error.message)}."
    match call.function:
        case "Filter_frames_with_act" | "Filter_frames_with_obj" | "trim":
            return _tell_narrowing(call, scene)
        case "Find" | "exist" | "Count":
            return _tell_sightings(call, scene)
        case "Query_Objs" | "Query_Actions":
            return _tell_list(call, scene)
        case "Video_query" | "Video_summary" | "Video_caption":
            return _tell_text(call, scene)
        case "Compare":
            verb = "mean" if call.result else "do not mean"
            return f"{_quote(_text(call, 'a'))} and {_quote(_text(call, 'b'))} {verb} the same."
        case "select_answer":
            supported = _quote(call.result) if isinstance(call.result, str) and call.result else "nothing"
            return f"For {_quote(_text(call, 'query'))}, what was found supports {supported}."
        case _:
            return f"{call.function} gives {_quote(str(call.result))}."


def _tell_narrowing(call: Call, scene: _Scene) -> str:
    result = call.result if isinstance(call.result, Clip) else None
    if result and result.grid_ids:
        lead = "First" if scene.first else "Next"
        inside = _place(call, scene, before="Within ", same="Within that part")
        lead = f"{lead}, {inside[0].lower()}{inside[1:]}," if inside else f"{lead},"
        return f"{lead} {_purpose(call)}: {_frames(result.grid_ids)}."
    place = _place(call, scene, before="In ", same="There")
    if call.function == "trim":
        return f"Nothing {_borders(call)}."
    if call.function == "Filter_frames_with_obj":
        return _opened(place, f"{_is(_text(call, 'obj'))} never seen.")
    return _opened(place, f"it is never seen that {_event(call)}.")


def _tell_sightings(call: Call, scene: _Scene) -> str:
    place = _place(call, scene)
    asked = _text(call, "query" if call.function == "exist" else "obj")
    found = call.result.num_frames if isinstance(call.result, Clip) else call.result
    if not found:
        return _opened(place, f"{_is(asked)} never seen.")
    if call.function == "Count" and isinstance(found, int):
        return _opened(place, f"{_counted(found, asked)} seen in one frame{_boxes(call.sightings)}.")
    if isinstance(call.result, Clip) and not call.sightings:
        return _opened(place, f"{_is(asked)} seen in {_frames(call.result.grid_ids)}.")
    return _opened(place, f"{_is(asked)} seen{_boxes(call.sightings)}.")


def _tell_list(call: Call, scene: _Scene) -> str:
    place = _place(call, scene)
    items = [_bare(item) for item in call.result] if isinstance(call.result, list) else []
    order = ", in this order," if len(items) > 1 else ""
    if call.function == "Query_Objs":
        asked = _text(call, "query")
        if not items:
            return _opened(place, f"nothing is found for {_quote(asked)}.")
        described = asked.startswith(("object", "thing"))
        what = _the(asked) if described else f"what is found for {_quote(asked)}"
        return _opened(place, f"{what} is{order} {_list([_the(item) for item in items])}.")
    obj = _text(call, "obj")
    to_it = f" with {_the(obj)}" if obj else ""
    if not items:
        return _opened(place, f"the person is not seen to do anything{to_it}.")
    past = [_past(item) for item in items]
    if all(past) and all(obj in item for item in items):
        return _opened(place, f"the person {', then '.join(p for p in past if p)}.")
    return _opened(place, f"this is what the person does{to_it}{order.rstrip(',')}: {_list(items)}.")


def _tell_text(call: Call, scene: _Scene) -> str:
    place = _place(call, scene)
    if call.function == "Video_caption":
        captions = call.result if isinstance(call.result, list) else []
        clip = scene.clips.get(clip_argument(call) or "")
        ids = clip.grid_ids if clip and clip.num_frames == len(captions) else ()
        told = [f"frame {g}: {_quote(c)}" for g, c in zip(ids, captions, strict=True)] if ids else []
        return f"Frame by frame, {'; '.join(told or map(_quote, captions)) or 'there is nothing to tell'}."
    said = str(call.result or "")
    if call.function == "Video_summary":
        return _opened(place, f"this is to be seen: {_quote(said)}." if said else "no summary is given.")
    asked = _quote(_text(call, "query"))
    reply = f"the reply to {asked} is {_quote(said)}." if said else f"there is no reply to {asked}."
    return _opened(place, reply)


def _conclusion(question: Question, trace: Trace) -> Sentence:
    """State the answer, or that there is none, citing the calls that gave it or else the last call."""
    last = tuple(call.number for call in trace.calls[-1:])
    if trace.failure is not None:
        why = f" ({trace.failure.type}: {_quote(trace.failure.message)})" if trace.failure.message else ""
        return Sentence(text=f"There the program stops without a result{why}.", calls=last)
    answer = answer_text(question, trace)
    if answer is None:
        return Sentence(text="So nothing follows for the question.", calls=last)
    gave = sources(question, trace)
    given = [call for call in trace.calls if call.number in gave and call.function == "select_answer"]
    notes = _new_information(given[-1], trace) if given else []
    lead = f"Given {'; '.join(notes)}, the" if notes else "So the"
    stop = "" if answer.endswith((".", "!", "?")) else "."
    return Sentence(text=f"{lead} answer is {answer}{stop}", calls=gave or last)


def _new_information(call: Call, trace: Trace) -> list[str]:
    """Tell what the program put together for the choice, besides results that were told as they are."""
    told = [c.result for c in trace.calls]
    named = clips(trace)
    return [
        f"{' / '.join(map(_quote, path))}: {text}"
        for path, value in _leaves(call.args.get("info"), ())
        if value not in told and not handle(value) and (text := _value(value, named))
    ]


def _leaves(value: JsonValue, path: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], JsonValue]]:
    if isinstance(value, dict) and handle(value) is None:
        for key, inner in entries(value):
            yield from _leaves(inner, (*path, key))
    elif path:
        yield path, value


def _value(value: JsonValue, named: dict[str, Clip]) -> str:
    match value:
        case list():
            return _list([_value(item, named) for item in value]) if value else "nothing"
        case dict():
            clip = named.get(handle(value) or "")
            return _frames(clip.grid_ids) if clip and clip.grid_ids else "no frames"
        case bool():
            return "yes" if value else "no"
        case None:
            return "nothing"
        case int() | float():
            return str(value)
        case _:
            return _quote(value)


def _purpose(call: Call) -> str:
    """Tell what a call was to do, as a verb phrase."""
    match call.function:
        case "Filter_frames_with_act":
            return f"find when {_event(call)}"
        case "Filter_frames_with_obj":
            return f"keep the frames in which {_is(_text(call, 'obj'))} seen"
        case "trim":
            return f"keep what {_borders(call)}"
        case "Find" | "exist":
            return f"look for {_the(_text(call, 'obj') or _text(call, 'query'))}"
        case "Count":
            return f"count {_the(_text(call, 'obj'))}"
        case "Query_Objs":
            return f"look for {_the(_text(call, 'query'))}"
        case "Query_Actions":
            obj = _text(call, "obj")
            return f"see what the person does{f' with {_the(obj)}' if obj else ''}"
        case "Video_query":
            return f"look into {_quote(_text(call, 'query'))}"
        case "Compare":
            return f"compare {_quote(_text(call, 'a'))} and {_quote(_text(call, 'b'))}"
        case "select_answer":
            return f"choose for {_quote(_text(call, 'query'))}"
        case _:
            return "describe what happens"


def _borders(call: Call) -> str:
    start, end = call.args.get("start"), call.args.get("end")
    if start is not None and end is not None:
        return f"comes between frame {start} and frame {end}"
    return f"comes from frame {start} on" if start is not None else f"comes before frame {end}"


def _event(call: Call) -> str:
    """Tell the action of a filter as a clause; several hold one inside the other."""
    action = call.args.get("action")
    return " and, within that, ".join(map(_clause, action if isinstance(action, list) else [action]))


def _clause(action: JsonValue) -> str:
    text = _bare(str(action))
    head = text.split(" ", 1)[0].lower()
    if '"' in text or not text:
        return f"{_quote(text)} happens"
    if head.endswith("ing"):
        return f"the person is {text}"
    if re.search(r"\b(?:is|are|was|were)\b", text):
        return _the(text)
    return f"{_quote(text)} happens"


def _place(call: Call, scene: _Scene, *, before: str = "In ", same: str = "There") -> str:
    """Tell where a call looked: nothing for the whole video, `same` for the part told last."""
    name = clip_argument(call)
    clip = scene.clips.get(name or "")
    if clip is None or name == "clip0":
        return ""
    if name in {f"clip{number}" for number in scene.shown}:
        return same
    return before + _frames(clip.grid_ids)


def _frames(grid_ids: Sequence[int]) -> str:
    return _list([f"frame {s}" if e == s + 1 else f"frames {s} to {e}" for s, e in runs(grid_ids)])


def _boxes(sightings: Sequence[Sighting]) -> str:
    """Tell every box with its frame, several of one frame together."""
    by_frame: dict[int, list[str]] = {}
    for sighting in sightings:
        by_frame.setdefault(sighting.frame, []).append(str(list(sighting.box)))
    told = [f"{_list(boxes)} in frame {frame}" for frame, boxes in by_frame.items()]
    return f" at {', '.join(told)}" if told else ""


def _counted(count: int, noun: str) -> str:
    if count == 1:
        return f"1 {noun} is"
    if not noun.replace(" ", "").isalpha():
        return f"at most {count} objects of the kind {noun} are"
    plural = re.sub(r"(?:(ch|sh|s|x)e?|([^aeiou])y)?$", _plural_ending, noun, count=1)
    return f"at most {count} {plural} are"


def _plural_ending(match: re.Match[str]) -> str:
    return f"{match[1]}es" if match[1] else f"{match[2]}ies" if match[2] else "s"


def _past(action: str) -> str | None:
    """Put an action of STAR's verbs into the past: "take the dish" becomes "took the dish"."""
    verb = parse_phrase(action).verb
    head, _, rest = action.partition(" ")
    if verb is None or head.lower() not in {verb, inflect(verb, "past")}:
        return None
    return f"{inflect(verb, 'past')} {rest}".strip()


def _bare(text: str) -> str:
    """Make a phrase of a sentence such as the option "The dish.": no full stop, no capital."""
    flat = " ".join(text.split())
    return flat[:1].lower() + flat[1:-1] if flat.endswith(".") else flat


def _the(noun: str) -> str:
    flat = _bare(noun)
    head = flat.split(" ", 1)[0].lower()
    return flat if head in _DETERMINERS or not flat[:1].isalpha() else f"the {flat}"


def _is(noun: str) -> str:
    """Say "the dish is" and "the hands are"; what follows a preposition does not count."""
    told = _the(noun)
    head = re.split(r" (?:of|in|on|at|with|from|near|that|who) ", told)[0]
    return f"{told} {'are' if re.search(r'[^sui]s$|people$|children$|men$', head) else 'is'}"


def _list(items: Sequence[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def _opened(place: str, rest: str) -> str:
    text = f"{place}, {rest}" if place else rest[:1].upper() + rest[1:]
    return text.removesuffix(".") if text.endswith('.".') else text


def _quote(text: str) -> str:
    return '"' + " ".join(text.replace('"', "'").split()) + '"'


def _text(call: Call, name: str) -> str:
    value = call.args.get(name)
    return value if isinstance(value, str) else ""
