"""The page of one question: a file of HTML that opens from disk, asks for nothing and hides nothing.

Questions, programs, models' words and file names are untrusted: the templates escape every value, links are
made of numbers only, and the page's policy allows no script and no style but its own, and nothing from
outside. Pixels come through a function that is passed in. This file reads no run and writes no file.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from aotd.traces.answers import render
from aotd.traces.outcomes import RIGHT
from aotd.traces.page_frames import Album, Frames, canvas_of
from aotd.traces.page_parts import LIMITS, Limit, attempt_part, choices
from aotd.traces.page_text import in_seconds, shorten, shown
from aotd.traces.records import GRID, Attempt, Example, Question, Trace, Verdict

__all__ = ["LARGEST", "example_fragment", "fragment", "question_page", "shell", "template", "trace_fragment"]

LARGEST: Final = 1_450_000
"""Bytes of a page with pictures in it; pictures that do not fit are left out, and the page says so."""

_ROOM: Final = 300_000
"""Bytes kept for pictures: texts of calls are cut shorter until there is so much room."""

Link = Callable[[bytes], str]
"""Puts a JPEG somewhere and gives the address by which the page finds it."""


def question_page(
    example: Example, *, frames: Frames | None = None, link: Link | None = None, index: str = ""
) -> str:
    """Draw the page of a question.

    Parameters
    ----------
    frames
        Gives the JPEG of a position of the question's grid; without it boxes lie on an empty canvas.
    link
        Gives the address of a JPEG, which the page then links; without it the page holds its pictures.
    index
        Address of the page that lists all questions, if there is one.
    """
    for limit in LIMITS:
        given = {**_given(example, frames, limit), "index": index, "scripted": True}
        bare = _page(example, given, linked=link is not None)
        room = LARGEST - len(bare.encode())
        if room > _ROOM:
            break
    album: Album = given["album"]
    if link is not None:
        images = {frame: link(jpeg) for frame, jpeg in album.images().items()}
    else:
        images = _fitting(album.images(), room)
        lacking = len(album.images()) - len(images)
        if lacking:
            given["remarks"] = [
                *given["remarks"],
                f"{lacking} pictures are left out to keep this page small.",
            ]
    return _page(example, {**given, "images": images}, linked=link is not None)


def example_fragment(example: Example) -> str:
    """Draw the parts of a question for a notebook: one element with its own style and without a script."""
    return _fragment(_given(example, None, LIMITS[0]), example.model_dump_json())


def trace_fragment(trace: Trace) -> str:
    """Draw a trace by itself for a notebook, as `example_fragment`."""
    album = Album(None, canvas_of([trace]), len(trace.calls))
    attempt = attempt_part(1, Attempt(program=trace.program, trace=trace), None, album)
    given = _empty(album) | {
        "facts": _facts(None, trace),
        "title": "Trace",
        "outcome": attempt.outcome,
        "tone": "bad" if trace.failure else "ok",
        "answer": None if trace.answer is None else shorten(shown(render(trace.answer))),
        "span": trace.span,
        "attempts": [attempt],
    }
    return _fragment(given, trace.model_dump_json())


def _given(example: Example, frames: Frames | None, limit: Limit) -> dict[str, Any]:
    """Lay out everything that the template shows."""
    question, trace = example.question, example.trace
    traces = [attempt.trace for attempt in example.attempts if attempt.trace is not None]
    album = Album(frames, canvas_of(traces), sum(len(trace.calls) for trace in traces))
    answer = None if trace is None or trace.answer is None else shown(render(trace.answer))
    right = example.outcome in RIGHT
    rationale = example.rationale
    return _empty(album) | {
        "facts": _facts(question, trace or (traces[-1] if traces else None)),
        "title": shorten(shown(question.text)),
        "remarks": _remarks(example),
        "outcome": str(example.outcome),
        "tone": "ok" if right else "bad",
        "detail": shorten(shown(example.detail)),
        "rule": shown(example.answer_rule or ""),
        "options": choices(question, None if trace is None or trace.answer is None else render(trace.answer)),
        "answer": None if answer is None else shorten(answer),
        "truth": None if question.answer is None else shorten(shown(question.answer)),
        "writer": shown(rationale.writer) if rationale else "",
        "sentences": [(_pieces(s.text), s.calls) for s in rationale.sentences] if rationale else [],
        "verdicts": [_verdict(verdict) for verdict in example.verdicts],
        "kept": example.kept,
        "dropped": shorten(shown(example.dropped)),
        "span": next((t.span for t in reversed(traces)), question.span),
        "attempts": [attempt_part(n, a, example, album, limit) for n, a in enumerate(example.attempts, 1)],
    }


def _empty(album: Album) -> dict[str, Any]:
    return {
        "album": album, "canvas": album.canvas, "images": {}, "index": "", "scripted": False, "marks": _MARKS,
        "remarks": [], "detail": "", "rule": "", "options": (), "truth": None, "writer": "", "sentences": [],
        "verdicts": [], "kept": False, "dropped": "",
    }  # fmt: skip


def _remarks(example: Example) -> list[str]:
    """Say what a reader must know before he believes anything on the page."""
    if any("random/" in model for model in example.provenance.models.values()):
        return ["Weights are made up (random/...): these answers mean nothing."]
    return []


_MARKS: Final = {
    "ran": ("\u2713", "ran", "ok"),
    "failed": ("\u2717", "failed here", "bad"),
    "refused": ("\u2717", "refused", "bad"),
    "unreached": ("\u00b7", "not reached", "dim"),
    "unknown": ("\u00b7", "not run", "dim"),
}
"""What stands beside a line of a program, by its status."""


def _facts(question: Question | None, trace: Trace | None) -> list[str]:
    """Tell where a question comes from."""
    facts: list[str | None] = []
    if question is not None:
        facts += [question.id, question.dataset, question.type, f"video {question.video_id}"]
    elif trace is not None:
        facts.append(f"video {trace.video.id}")
    span = trace.span if trace is not None else question.span if question else None
    facts.append(in_seconds(range(GRID), span))
    if trace is not None:
        video = trace.video
        facts.append(video.path)
        facts.append(f"{video.width}\u00d7{video.height}" if video.width and video.height else None)
        facts.append(f"run in {trace.seconds:.2f} s" if trace.seconds else None)
    return [shorten(shown(fact), 300) for fact in facts if fact]


_BOX: Final = re.compile(r"(\[\d+, \d+, \d+, \d+\])")


def _pieces(sentence: str) -> list[tuple[str, bool]]:
    """Part a sentence into words and boxes."""
    pieces = _BOX.split(shorten(shown(sentence)))
    return [(text, bool(place % 2)) for place, text in enumerate(pieces) if text]


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "check": shown(verdict.check),
        "passed": verdict.passed,
        "reason": shorten(shown(verdict.reason)),
        "raw": shorten(shown(verdict.raw or "")),
    }


def _fitting(images: Mapping[int, bytes], room: int) -> dict[int, str]:
    """Write as many pictures as fit into the page itself."""
    written: dict[int, str] = {}
    for frame, jpeg in images.items():
        address = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
        room -= len(address) + 200
        if room < 0:
            break
        written[frame] = address
    return written


def _page(example: Example, given: Mapping[str, Any], *, linked: bool) -> str:
    body = template("page.j2").render({**given, "uid": "q"})
    return shell(f"{example.question.id}: {example.outcome}", body, "page.js", ["page.css"], linked=linked)


def _fragment(given: Mapping[str, Any], content: str) -> str:
    uid = "a" + hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return fragment(["page.css"], template("page.j2").render({**given, "uid": uid}))


def fragment(styles: Sequence[str], body: str) -> str:
    """Put our styles before a rendered body: all that a notebook needs."""
    return f"<style>\n{_joined(styles)}</style>\n{body}"


def shell(title: str, body: str, script: str, styles: Sequence[str], *, linked: bool = False) -> str:
    """Make a whole page of a rendered body and files of ours.

    Parameters
    ----------
    script, styles
        Names of files in this folder; the page's policy allows them, by hash, and no others.
    linked
        Allow pictures from files beside the page.
    """
    style = _joined(["page_shell.css", *styles])
    policy = "; ".join(
        [
            "default-src 'none'",
            "img-src data: 'self' file:" if linked else "img-src data:",
            f"style-src {_hash(style)}",
            f"script-src {_hash(_ours(script))}",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )
    ours = {"style": style, "script": _ours(script), "body": body}  # a template has escaped the body
    page = template("page_shell.j2").render(
        policy=policy,
        title=shown(title),
        **{name: Markup(text) for name, text in ours.items()},  # noqa: S704
    )
    return page + "\n"


def _joined(styles: Sequence[str]) -> str:
    return "\n".join(map(_ours, styles))


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return f"'sha256-{digest}'"


@cache
def _ours(name: str) -> str:
    """Read a file that lies beside this one."""
    return (files("aotd.traces") / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(_ours),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def template(name: str) -> Template:
    """Get a template of this folder; every value that it prints is escaped."""
    return _environment().get_template(name)
