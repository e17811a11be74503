"""The hostile programs under `attacks/`, and the one rule that tells whether one of them succeeded.

A program is text with two comment lines: what it tries, and how success would show (a canary that it cannot
know, an effect, a limit, a call, the host, the next program's state, a text; or a breach program's claim
that a deed without trace was let through). Places in it, such as `@FILE@`, are filled in before it runs.
The rule looks at what came of a run from outside and knows nothing of how it was run; it is the same for
the product and for a host without any protection. Runs nothing.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from aotd.tools.api import API

__all__ = ["ANSWERS", "BREACHES", "GOOD", "GOOD_ANSWER", "Program", "Seen", "fill", "programs", "successes"]

FOLDER: Final = Path(__file__).parent / "attacks"

BREACHES: Final = ("breach", "forging")
"""Categories of programs that are executed with all of Python, as if the language layer had fallen."""

BREACH: Final = "#!breach\n"
"""How `attack_entry.py` knows them."""

ANSWERS: Final[dict[str, Any]] = {
    "clip": {"$clip": {"frames": [2, 3, 9]}},
    "bool": True,
    "int": 2,
    "list[str]": ["cup", "book"],
    "str": "The cup.",
}
"""What every function answers, by the kind that it gives."""

GOOD: Final = """\
import json
import math
import re
from collections import Counter


def execute_command(video_clip, query, possible_answers):
    part = Find(video_clip, "person")
    kinds = Counter(sorted(["b", "a", "a"])).most_common(1)
    words = re.findall("[a-z]+", "one two")
    number = Count(part, "cup") + math.floor(2.5) + part.num_frames
    deep = [0]
    for _ in range(100):
        deep = [deep]
    return json.dumps([number, kinds[0][0], words, len(possible_answers), str(math.pi)[:4], len(repr(deep))])
"""
GOOD_ANSWER: Final = json.dumps([7, "a", ["one", "two"], 2, "3.14", 203])
"""What the good program returns when nothing has been tampered with."""

WALLS: Final[dict[str, float]] = {
    "breach": 0.3,
    "forging": 0.3,
    "compile": 0.25,
    "cpu": 0.15,
    "exceptions": 0.2,
    "memory": 0.2,
    "recursion": 0.2,
    "forging/late_death": 1.0,
    "forging/late_noise": 1.0,
}
"""Seconds that programs of a category, or one of them, get, where it is not `WALL`."""

WALL: Final = 1.0

_HELD: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that drive a terminal, turn text around, or are half of one."""

_REPEAT: Final = re.compile(r"@\[(\d+)\|(.*?)\]@", re.DOTALL)


class Program(NamedTuple):
    """One hostile program."""

    name: str
    """`category/file`."""
    source: str
    """With its places not yet filled in."""

    @property
    def category(self) -> str:
        """The folder it lies in."""
        return self.name.partition("/")[0]

    @property
    def wall(self) -> float:
        """Seconds that it may run."""
        return WALLS.get(self.name, WALLS.get(self.category, WALL))


class Seen(NamedTuple):
    """What came of one program, as seen from outside of it."""

    answer: Any = None
    """As JSON; `{"$odd": type}` for what is no JSON."""
    error: tuple[str, str] | None = None
    """Type and message of what it raised."""
    printed: tuple[str, ...] = ()
    """By line."""
    shown: tuple[str, ...] = ()
    """Other text of the record: names, values, reasons."""
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    """Calls that the host took, with arguments by name; a clip is `{"$clip": "clipN"}`."""
    late: bool = False
    """The verdict came more than half a second after the deadline."""
    memory: bool = False
    """More memory was taken than allowed, in the child or in the host."""
    broken: str = ""
    """What happened to the host."""
    effects: tuple[str, ...] = ()
    """What is not as it was: files, connections, processes, signals."""
    good: bool = True
    """The good program still passes."""


def programs(*categories: str) -> list[Program]:
    """Read the programs of some categories, or of all that stay within the language."""
    found = []
    for path in sorted(FOLDER.glob("*/*.txt")):
        name = f"{path.parent.name}/{path.stem}"
        if path.parent.name in categories or (not categories and path.parent.name not in BREACHES):
            head, shows, source = path.read_text().split("\n", 2)
            assert head.startswith("# Tries: "), path
            assert shows.startswith("# Shows: "), path
            found.append(Program(name, BREACH + source if path.parent.name in BREACHES else source))
    return found


def fill(source: str, places: dict[str, str]) -> str:
    """Fill in a program's places: `@NAME@`, and `@[N|text]@` for N times a text with `@N@` as the number."""

    def repeat(found: re.Match[str]) -> str:
        times, text = int(found[1]), found[2]
        return "".join(text.replace("@N@", str(n)) for n in range(times)) if "@N@" in text else text * times

    source = _REPEAT.sub(repeat, source)
    for name, value in {**places, "CR": "\r", "FF": "\f", "NUL": "\0"}.items():
        source = source.replace(f"@{name}@", value)
    return source


def successes(seen: Seen, canaries: Iterable[str]) -> list[str]:
    """Name the ways in which a program succeeded."""
    texts = [*seen.printed, *seen.shown, *_texts(seen.answer), *(seen.error or ())]
    texts += [text for _, args in seen.calls for text in _texts(args)]
    everything = "\n".join(texts)
    found = [f"canary {canary}" for canary in canaries if canary in everything]
    found += list(seen.effects)
    found += ["late"] * seen.late + ["memory"] * seen.memory + [seen.broken] * bool(seen.broken)
    found += [] if seen.good else ["the next program fails"]
    found += _unbounded(seen)
    held = _HELD.search(everything)
    found += [f"raw character {held[0]!r}"] if held else []
    found += [f"claims {seen.error[1]}"] if seen.error and seen.error[0] == "Won" else []
    found += ["forged answer"] if "FORGED" in _texts(seen.answer) else []
    return found + _improper(seen.calls)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [t for key, item in value.items() for t in (str(key), *_texts(item))]
    return [t for item in value for t in _texts(item)] if isinstance(value, list) else []


def _unbounded(seen: Seen) -> list[str]:
    """Hold answer, error and log against their bounds: P7 of the threat model."""
    found = []
    if sum(len(line) + 1 for line in seen.printed) > 4 * 64 * 1024 or any(
        len(p) > 2000 for p in seen.printed
    ):
        found.append("unbounded log")
    if seen.error and (len(seen.error[0]) > 100 or len(seen.error[1]) > 300):
        found.append("unbounded error")
    if any(len(text) > 400 for text in seen.shown) or sum(map(len, seen.shown)) > 1 << 20:
        found.append("unbounded record")
    answer = seen.answer
    parts = answer if isinstance(answer, list) else []
    if len(parts) > 200 or any(not isinstance(p, str) or len(p) > 2000 for p in parts):
        found.append("unbounded answer")
    if isinstance(answer, str) and len(answer) > 10_000:
        found.append("unbounded answer")
    if isinstance(answer, dict) or (isinstance(answer, (int, float)) and not _is_number(answer)):
        found.append("untyped answer")
    return found


def _is_number(value: float) -> bool:
    return math.isfinite(value) if isinstance(value, float) else -(2**63) <= value < 2**63


def _improper(calls: tuple[tuple[str, dict[str, Any]], ...]) -> list[str]:
    """Name what is wrong with calls that the host took: P5 of the threat model."""
    found = ["more than 64 calls"] if len(calls) > 64 else []
    clips = {"clip0"}
    for number, (name, args) in enumerate(calls, 1):
        function = API.get(name)
        if function is None:
            found.append(f"call of {name}")
            continue
        kinds = {p.name: p.kind for p in function.parameters}
        needed = {p.name for p in function.parameters if p.required}
        if not needed <= args.keys() <= kinds.keys():
            found.append(f"{name} with the arguments {sorted(args)}"[:200])
        found += [
            f"{name} with a wrong {key}"
            for key, value in args.items()
            if not _fits(kinds.get(key, ""), value, clips)
        ]
        if (
            len(json.dumps(args, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
            > 64 * 1024
        ):
            found.append(f"{name} with too much text")
        if function.returns == "clip":
            clips.add(f"clip{number}")
    return found


def _fits(kind: str, value: Any, clips: set[str]) -> bool:
    if value is None:
        return kind.endswith("?")
    options = kind.removesuffix("?").split("|")
    return (
        ("clip" in options and isinstance(value, dict) and value.get("$clip") in clips and len(value) == 1)
        or ("str" in options and _is_text(value))
        or ("int" in options and type(value) is int and _is_number(value))
        or (
            "list[str]" in options
            and isinstance(value, list)
            and len(value) <= 200
            and all(map(_is_text, value))
        )
        or ("dict" in options and isinstance(value, dict) and "$dict" in value and _is_data(value, 0))
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 2000 and not _HELD.search(value)


def _is_data(value: Any, level: int) -> bool:
    """Tell whether a value inside a dict is data: no clip, nothing odd, six levels at most."""
    if isinstance(value, dict):
        pairs = value.get("$dict")
        return (
            len(value) == 1
            and isinstance(pairs, list)
            and level < 6
            and len(pairs) <= 200
            and all(len(pair) == 2 and _is_text(pair[0]) and _is_data(pair[1], level + 1) for pair in pairs)
        )
    if isinstance(value, list):
        return level < 6 and len(value) <= 200 and all(_is_data(item, level + 1) for item in value)
    return (
        value is None
        or isinstance(value, bool)
        or _is_text(value)
        or (isinstance(value, (int, float)) and _is_number(value))
    )
