"""Read the claims of one sentence: boxes, windows, frames, numbers, quotations and the answer it states.

Works on any English prose and needs no model. Windows are read half-open: "frames 3 to 9", "from frame 3
to frame 9" and "between frames 3 and 9" all mean `[3, 9)`, as in AoTD's traces. What stands between
double quotes is a quotation and nothing else. This file does not know what is true.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from aotd.agent.evidence import stems

__all__ = ["CONCLUDES", "Boxed", "Claims", "Counted", "Lexicon", "read_claims"]

_WORDS: Final = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
)
_NUMBER: Final = {word: value for value, word in enumerate((*_WORDS, "twelve"))}
_QUOTED: Final = re.compile('"([^"]*)"|\u201c([^\u201d]*)\u201d')
_VALUE: Final = r"\s*(-?\d+(?:\.\d+)?)\s*"
_TO: Final = r"\s*(?:\b(?:to|until|till|through)\b|[-\u2013\u2014])\s*"
_FRAME: Final = r"\bframes?(?:\s+(?:number|no\.?|id))?\s*#?\s*"
_ITEM: Final = re.compile(
    rf"(?P<box>[\[(]{_VALUE},{_VALUE},{_VALUE},{_VALUE}[\])])"
    r"|(?P<aside>\b(?:steps?|calls?)\s+\d+(?:(?:\s*,\s*|\s+and\s+)\d+)*\b|\[\d+\]|^\s*\d+[.)]\s)"
    rf"|(?P<between>\bbetween\s+{_FRAME}(\d+)\s+and\s+(?:{_FRAME})?(\d+))"
    rf"|(?P<window>(?:{_FRAME})?\b(\d+){_TO}(?:{_FRAME})?(\d+)\b)"
    r"|(?P<pair>\[\s*(\d+)\s*,\s*(\d+)\s*[\])])"
    r"|(?P<frames>\bframes\s+\d+(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+)\d+\b(?!\s*(?:to\b|-)))*)"
    rf"|(?P<frame>{_FRAME}(\d+)\b)"
    rf"|(?P<number>(?<![\w.])-?\d+(?:\.\d+)?(?!\w)|\b(?:{'|'.join(_NUMBER)})\b)",
    re.IGNORECASE,
)
_BORDER: Final = re.compile(rf"\b(before|until|till|after|from|since)\s+{_FRAME}(\d+)\b", re.IGNORECASE)
_DIRECT: Final = re.compile(r"\s+(?:in|at|on)\s+|\s*\(\s*", re.IGNORECASE)
_CHAIN: Final = re.compile(r"\s*(?:,|and|,\s*and)\s*", re.IGNORECASE)
_ANSWER: Final = re.compile(
    r"\b(?:answer(?:\s+to\s+(?:the|this|that)\s+question)?|(?:correct|right|best)\s+(?:option|choice))\s*"
    r"(?::|(?:is|must\s+be|should\s+be|would\s+be|has\s+to\s+be)\b\s*:?)\s*(?P<said>.+)",
    re.IGNORECASE | re.DOTALL,
)
_CLAUSE: Final = re.compile(r"[;.!?](?=\s|$)|\b(?:but|while|whereas|although)\b", re.IGNORECASE)
CONCLUDES: Final = re.compile(
    r"\b(?:so|therefore|thus|hence|finally|conclusion|conclude|choose|pick|select|option|best)\b",
    re.IGNORECASE,
)
"""Words by which a sentence says that it draws the conclusion."""
_IDIOM: Final = re.compile(
    r"\bbounding[\s-]+box(?:es)?\b|\b(?:time|temporal)[\s-]+windows?\b"
    r"|\b(?:within|in|during)\s+(?:this|that|these)\s+windows?\b",
    re.IGNORECASE,
)
"""Words that are objects of STAR elsewhere and none here."""
_HIDDEN: Final = "\0"
_LONGEST: Final = 12
"""Digits of a number that are read: a model may run on, and no true number is as long."""


class Boxed(NamedTuple):
    """A box, the frame it is told for, and the words told since the box before it."""

    box: tuple[float, ...]
    frame: int | None
    words: str


class Counted(NamedTuple):
    """A number, how it is written, and the stems of the few words after it."""

    number: float
    said: str
    noun: str


class Claims(NamedTuple):
    """What a sentence claims."""

    boxes: tuple[Boxed, ...]
    windows: tuple[tuple[int, int], ...]
    frames: tuple[int, ...]
    """Frames told on their own, not as a window."""
    borders: tuple[tuple[str, int], ...]
    """Frames told as an edge: `after` for "from frame 3 on", `before` for "before frame 9"."""
    counts: tuple[Counted, ...]
    quotes: tuple[tuple[int | None, str], ...]
    """Quotations, each with the frame told right before it."""
    answer: str | None
    """What follows "the answer is"."""
    clauses: tuple[str, ...]
    """Stems of each clause, without numbers and quotations."""

    @property
    def text(self) -> str:
        """Stems of the whole sentence."""
        return " ".join(self.clauses)


class Lexicon:
    """Names and phrases to look for; of overlapping ones the longest counts."""

    def __init__(self, names: Iterable[str]) -> None:
        parts = {part for name in names for part in (name, *name.split("/"))}
        self._names = sorted({stems(part) for part in parts} - {""}, key=lambda n: (-len(n), n))

    def find(self, text: str) -> list[str]:
        """Return the names in a text; text and names are stems."""
        found = []
        rest = f" {text} "
        for name in self._names:
            if f" {name} " in rest:
                found.append(name)
                rest = rest.replace(f" {name} ", f" {_HIDDEN} ")
        return found


def read_claims(text: str) -> Claims:
    """Read the claims of a sentence, or of a few."""
    masked = _QUOTED.sub(lambda m: '"' + _HIDDEN * (len(m[0]) - 2) + '"', text)
    items = list(_ITEM.finditer(masked))
    windows, frames, counts = [], [], []
    for item in items:
        numbers = _integers(item[0])
        if item.lastgroup in {"between", "window", "pair"}:
            windows.append((numbers[0], numbers[1]))
        elif item.lastgroup in {"frame", "frames"}:
            frames += numbers
        elif item.lastgroup == "number":
            counts.append(_counted(item, masked))
    answer = _ANSWER.search(masked)
    return Claims(
        boxes=tuple(_boxes(masked, items)),
        windows=tuple(windows),
        frames=tuple(frames),
        borders=tuple(_borders(masked)),
        counts=tuple(counts),
        quotes=tuple(_quotes(text, masked)),
        answer=text[answer.start("said") :].strip() if answer else None,
        clauses=tuple(_clauses(masked)),
    )


def _integers(text: str) -> list[int]:
    return [int(digits[:_LONGEST]) for digits in re.findall(r"\d+", text)]


def _borders(masked: str) -> Iterable[tuple[str, int]]:
    for word, frame in _BORDER.findall(_ITEM.sub(_without_windows, masked)):
        yield ("before" if word.lower() in {"before", "until", "till"} else "after"), _integers(frame)[0]


def _without_windows(item: re.Match[str]) -> str:
    return " " if item.lastgroup in {"between", "window"} else item[0]


def _counted(item: re.Match[str], masked: str) -> Counted:
    said = item[0].lower()
    following = re.findall(r"[\w/'-]+", re.split(r"[,;:.]|\band\b", masked[item.end() :])[0])[:5]
    return Counted(
        _NUMBER[said] if said in _NUMBER else float(said[:_LONGEST]), said, stems(" ".join(following))
    )


def _quotes(text: str, masked: str) -> Iterable[tuple[int | None, str]]:
    for quote in _QUOTED.finditer(text):
        before = re.search(rf"{_FRAME}(\d+)\s*(?:[,:]|shows)?\s*$", masked[: quote.start()], re.IGNORECASE)
        yield (_integers(before[1])[0] if before else None), quote[1] or quote[2] or ""


def _clauses(masked: str) -> Iterable[str]:
    bare = _IDIOM.sub(" ", _ITEM.sub(lambda m: " " if m.lastgroup != "number" else m[0], masked))
    for clause in _CLAUSE.split(bare):
        words = stems(re.sub(f'"?{_HIDDEN}+"?|""', " ", clause))
        if words:
            yield words


def _boxes(masked: str, items: list[re.Match[str]]) -> Iterable[Boxed]:
    end = 0
    words = ""
    for position, item in enumerate(items):
        if item.lastgroup != "box":
            continue
        words = stems(_ITEM.sub(" ", masked[end : item.start()]).replace(_HIDDEN, " ")) or words
        end = item.end()
        numbers = tuple(float(n[:_LONGEST]) for n in re.findall(r"-?\d+(?:\.\d+)?", item[0]))
        yield Boxed(numbers, _frame_of(position, items, masked), words)


def _frame_of(position: int, items: list[re.Match[str]], masked: str) -> int | None:
    """Find a box's frame: told right after it or after its list, else before it, else soon after it."""
    last = position
    while last + 1 < len(items) and items[last + 1].lastgroup == "box":
        if not _CHAIN.fullmatch(masked[items[last].end() : items[last + 1].start()]):
            break
        last += 1
    follower = items[last + 1] if last + 1 < len(items) else None
    gap = masked[items[last].end() : follower.start()] if follower else ""
    after = _single_frame(follower)
    if after is not None and _DIRECT.fullmatch(gap):
        return after
    for item in reversed(items[:position]):
        before = _single_frame(item)
        if before is not None:
            return before
    return after if len(gap) <= 40 else None


def _single_frame(item: re.Match[str] | None) -> int | None:
    return _integers(item[0])[0] if item and item.lastgroup == "frame" else None
