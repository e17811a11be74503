"""A trace in the line form of AoTD's trace files (CVPR 2025; the first arXiv version's wording).

Differences from the released code, all on purpose: `Filter_frames_with_act` announces itself, boxes are
plain integers with the origin top-left, frame ids are absolute, the last line is `program output: ...`, and
nothing found is said. No blank line can stand inside a record. This is a view for people and for tools that
read that form; nothing reads it back here.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue

from aotd.traces.answers import letter, match_option, render
from aotd.traces.handles import clip_argument, clips, entries, handle
from aotd.traces.records import Call, Clip, Question, Sighting, Trace

__all__ = ["paper_text"]


def paper_text(question: Question, trace: Trace) -> str:
    """Return one record: header fields, the program, a line or more per call, the output.

    The answer field is the letter of the right option, or the text of an open-ended answer; it is empty
    when no truth is known. Records of a file are parted by blank lines.
    """
    named = clips(trace)
    lines = [
        f"question id: {_flat(question.id)}",
        f"video id: {_flat(question.video_id)}",
        f"question: {_flat(question.text)}",
        f"possible answers: {list(map(_flat, question.options)) if question.options is not None else None}",
        f"answer: {_truth(question)}",
        *(_printable(line) for line in trace.program.splitlines() if line.strip()),
        *(line for call in trace.calls for line in _lines(call, named)),
    ]
    if trace.failure is None and trace.answer is not None:
        lines.append(f"program output: {_flat(render(trace.answer))}")
    return "\n".join(lines) + "\n"


def _truth(question: Question) -> str:
    index = None
    if question.answer is not None and question.options is not None:
        index = match_option(question.answer, question.options).index
    return letter(index) if index is not None else _flat(question.answer or "")


def _lines(call: Call, named: dict[str, Clip]) -> Iterator[str]:
    yield f"call {'' if call.function == 'Filter_frames_with_act' else 'function '}{call.function}"
    if call.error is not None:
        yield from _asked(call)
        yield f"error: {call.error.kind}: {_flat(call.error.message)}"
        return
    match call.function:
        case "Filter_frames_with_act" | "Filter_frames_with_obj" | "trim":
            yield from _asked(call)
            yield _narrowed(call)
        case "Find":
            yield from _found(_text(call, "obj"), call)
        case "exist":
            yield from _asked(call)
            query = _text(call, "query")
            yield f"{query} exists" if call.result else f"{query} doesn't exist"
            if call.result:
                yield "call function Find"
                yield from _found(query, call)
        case "Count":
            yield from _asked(call)
            yield from _counted(call)
        case "Video_summary":
            yield f"summary result: {_flat(str(call.result))}"
        case "Video_caption":
            yield from _captioned(call, named)
        case "select_answer":
            yield f"the information used: {_bullets(call.args.get('info'), named)}"
            yield f"select: {_flat(str(call.result))}"
        case _:
            yield from _asked(call)
            yield f"Answer: {_value(call.result)}"


def _asked(call: Call) -> Iterator[str]:
    """Yield what a call was asked, in the words of its function."""
    match call.function:
        case "Filter_frames_with_act":
            action = call.args.get("action")
            for text in action if isinstance(action, list) else [action]:
                yield f"filter action {_flat(str(text))}"
        case "Filter_frames_with_obj":
            yield f"filtered with {_text(call, 'obj')}"
        case "Find" | "exist":
            yield f"finding {_text(call, 'obj') or _text(call, 'query')}"
        case "Count":
            yield f"counting {_text(call, 'obj')}"
        case "Query_Objs":
            yield f"Query {_text(call, 'query')}"
        case "Query_Actions" if _text(call, "obj"):
            yield f"Query {_text(call, 'obj')}"
        case "Video_query":
            yield f"Question: {_text(call, 'query')}"
        case "Compare":
            yield f"Compare {_text(call, 'a')} with {_text(call, 'b')}"


def _narrowed(call: Call) -> str:
    clip = call.result
    verb = {"Filter_frames_with_act": "find action", "trim": "trimmed video"}.get(call.function, "filtered")
    if not isinstance(clip, Clip) or not clip.grid_ids:
        return f"{verb}: no frames"
    total = f", {clip.num_frames} totally" if call.function == "Filter_frames_with_obj" else ""
    return f"{verb} from frame {clip.start} to frame {clip.end}{total}"


def _found(obj: str, call: Call) -> Iterator[str]:
    yield f"finding {obj}"
    if not call.sightings and not (isinstance(call.result, Clip) and call.result.grid_ids):
        yield f"Don't find {obj}"
    for sighting in call.sightings:
        yield f"find {obj} at {list(sighting.box)} in frame {sighting.frame}"


def _counted(call: Call) -> Iterator[str]:
    obj = _text(call, "obj")
    by_frame: dict[int, list[Sighting]] = {}
    for sighting in call.sightings:
        by_frame.setdefault(sighting.frame, []).append(sighting)
    if not by_frame:
        yield f"counting {_value(call.result)} {obj}"
    for frame, seen in by_frame.items():
        yield f"counting {len(seen)} {obj} at {[list(s.box) for s in seen]} in frame {frame}"


def _captioned(call: Call, named: dict[str, Clip]) -> Iterator[str]:
    captions = call.result if isinstance(call.result, list) else []
    clip = named.get(clip_argument(call) or "")
    ids: tuple[int, ...] = clip.grid_ids if clip else ()
    for position, caption in enumerate(captions):
        frame = ids[position] if len(ids) == len(captions) else position
        yield f"frame {frame}: {_flat(caption)}"


def _bullets(info: JsonValue, named: dict[str, Clip]) -> str:
    """Tell collected information: a bullet per item, those of an inner dict indented by a tab."""
    told = []
    for key, value in entries(info):
        if isinstance(value, dict) and handle(value) is None:
            inner = "".join(f"\n\t- {_flat(k)}: {_value(v, named)}" for k, v in entries(value))
            told.append(f"- {_flat(key)}:{inner}")
        else:
            told.append(f"- {_flat(key)}: {_value(value, named)}")
    return "\n".join(told)


def _value(value: object, named: dict[str, Clip] | None = None) -> str:
    match value:
        case dict():
            clip = (named or {}).get(handle(value) or "")
            if clip is None:
                return _flat(str(dict(entries(value))))
            return f"frames {clip.start} to {clip.end}" if clip.grid_ids else "no frames"
        case str() | bool() | int() | float():
            return _flat(render(value))
        case list():
            return ", ".join(_value(item, named) for item in value)
        case _:
            return str(value)


def _flat(text: str) -> str:
    return _printable(" ".join(text.split()))


def _printable(line: str) -> str:
    """Take out control characters: a trace is often printed to a terminal."""
    return "".join(c for c in line.expandtabs() if c.isprintable())


def _text(call: Call, name: str) -> str:
    value = call.args.get(name)
    return _flat(value) if isinstance(value, str) else ""
