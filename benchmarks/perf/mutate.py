"""Programs and outcomes to break things with: good ones, and changes made to them at random.

Runs nothing. The same seed gives the same changes.
"""

from __future__ import annotations

import ast
import asyncio
import importlib.resources
import json
import random
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from aotd.agent.grammar import GrammarPlanner, template_of
from aotd.benchmarks.star import load_star
from aotd.world.build import write_annotation

__all__ = ["OUTCOMES", "damage", "mutate", "programs", "programs_of_tests"]

_TOKENS: Final = re.compile(r"\s+|\w+|[^\w\s]")
_ENTRY: Final = "def execute_command(video_clip, query, possible_answers):\n"
_BODIES: Final = (
    "for name in ('cup', 'book'):\n    if exist(video_clip, name):\n        return name\nreturn 'none'",
    "found = {}\nfor part in (trim(video_clip, end=16), trim(video_clip, start=16)):\n"
    "    found[str(part.start)] = Query_Actions(part)\nreturn select_answer(query, found, possible_answers)",
    "try:\n    return Video_query(Find(video_clip, 'cup'), query)\nexcept EmptyClip as error:\n"
    "    return str(error)",
    "import re\nnumbers = [int(n) for n in re.findall('[0-9]+', Video_summary(video_clip))]\n"
    "return max(numbers or [0])",
    "from collections import Counter\nreturn Counter(Video_caption(video_clip)).most_common(1)[0][0]",
    "def key(name):\n    return (-Count(video_clip, name), name)\nreturn sorted(['cup', 'book'], key=key)[0]",
    "def walk(n):\n    return n if n < 1 else walk(n - 1)\nreturn walk(9)",
    "n = 0\nwhile n < 9:\n    n += 1\nelse:\n    return f'{n:>4} {query!r}'",
    "return '{} {a:.3f}'.format([1, 2], a=0.5) + str({**{'a': 1}}) + ''.join(c for c in 'ab' if c)",
    "x, *rest = sorted({3, 1, 2})\ndel rest[0]\nassert (y := x) == 1, 'no'\n"
    "return [str(v) for v in (x, y, *rest)]",
)
_PIECES: Final = (
    *(
        "__class__",
        "__globals__",
        "_getattr_",
        "eval",
        "exec",
        "open('/etc/passwd')",
        "import os",
        "__import__",
    ),
    *(
        "lambda: ",
        "yield ",
        "await ",
        "class A: pass",
        "*",
        "**",
        "@",
        ":=",
        "...",
        "\\",
        "'''",
        '"',
        "{",
        "[",
        "(",
    ),
    *(
        "while True: pass",
        "10 ** 10 ** 8",
        "'a' * 10 ** 9",
        "[0] * 10 ** 8",
        "video_clip.start",
        "raise EmptyClip('')",
    ),
    *(
        "try:\n",
        "except:\n",
        "finally:\n",
        "return",
        "\n",
        "\t",
        "    ",
        "\x00",
        "\x1b",
        "\r",
        "\f",
        "#",
        ";",
    ),
    *(
        "\u202e",
        "\u2028",
        "\ud800",
        "\uff3f",
        "\uff41",
        "é",
        "🎬",
        "\N{COMBINING ACUTE ACCENT}",
        "0x" + "f" * 99,
        "1e999",
    ),
    *("print('x' * 10 ** 6)", "f'{1!r:>9999999999}'", "'%n' % 1", "{'a': video_clip}", "None", "True", "-1"),
)


def programs(seed: int) -> list[str]:
    """Give good programs: worked examples, programs of the grammar, and a few more."""
    examples = importlib.resources.files("aotd.prompts") / "examples"
    found = [part.read_text(encoding="utf-8") for part in examples.iterdir() if part.name.endswith(".txt")]
    found += [_entry(body) for body in _BODIES]
    with tempfile.TemporaryDirectory() as folder:
        items = load_star(write_annotation(Path(folder), clips=12, seed=seed))
    templates = {template_of(item.question.text): item.question for item in items}
    planned = [asyncio.run(GrammarPlanner().plan(question)).source for question in templates.values()]
    return sorted({*found, *filter(None, planned)})


def programs_of_tests() -> list[str]:
    """Give programs, good and bad, that the tests of a source checkout hold; none elsewhere."""
    folder = Path(__file__).resolve().parents[2] / "tests"
    texts = {path.read_text(encoding="utf-8") for path in folder.glob("[ab]*/**/*.txt")}  # attacks, benign
    for path in sorted(folder.glob("test_sandbox*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_body(node.value):
                texts.add(node.value)
    return [text if "def execute_command" in text else _entry(text) for text in sorted(texts)]


def _entry(body: str) -> str:
    return _ENTRY + "".join(f"    {line}\n" for line in body.split("\n"))


def _is_body(text: str) -> bool:
    return 8 < len(text) < 4000 and ("return" in text or "\n" in text)


def mutate(chance: random.Random, corpus: Sequence[str]) -> str:
    """Change a program by its lines or by its tokens."""
    program = chance.choice(corpus)
    if chance.randrange(2):
        return _mutate_lines(chance, program.split("\n"), chance.choice(corpus).split("\n"))
    return _mutate_tokens(chance, _TOKENS.findall(program), _TOKENS.findall(chance.choice(corpus)))


_HEADS: Final = ("if exist(video_clip, 'a'):", "while True:", "for i in 'ab':", "def again():")


def _mutate_lines(chance: random.Random, lines: list[str], other: list[str]) -> str:
    """Drop, repeat, swap, indent and splice lines after the first, so that many programs still parse."""
    for _ in range(chance.choice((1, 1, 2, 5))):
        here, there = chance.randrange(1, len(lines) + 1), chance.randrange(1, len(lines) + 1)
        line = chance.choice(lines[1:] or [""])
        indent = line[: len(line) - len(line.lstrip())]
        match chance.randrange(6):
            case 0:
                del lines[here : here + 1]
            case 1:
                lines.insert(here, line)
            case 2 if max(here, there) < len(lines):
                lines[here], lines[there] = lines[there], lines[here]
            case 3:
                lines.insert(here, indent + chance.choice(other).strip())
            case 4:
                lines.insert(here, indent + chance.choice(_PIECES).strip("\n"))
            case 5:
                lines.insert(
                    here,
                    indent + chance.choice(_HEADS),
                )
                lines[here + 1 : here + 2] = ["    " + text for text in lines[here + 1 : here + 2]]
    return "\n".join(lines)


def _mutate_tokens(chance: random.Random, tokens: list[str], other: list[str]) -> str:
    """Swap, drop, repeat and put in tokens, splice, nest."""
    for _ in range(chance.choice((1, 1, 1, 2, 8))):
        here, there = chance.randrange(len(tokens) + 1), chance.randrange(len(tokens) + 1)
        match chance.randrange(9):
            case 0:
                tokens[here:here] = [chance.choice(_PIECES)]
            case 1:
                del tokens[here : here + chance.choice((1, 1, 4, 30))]
            case 2 if max(here, there) < len(tokens):
                tokens[here], tokens[there] = tokens[there], tokens[here]
            case 3:
                tokens[here:here] = tokens[there : there + chance.choice((1, 3, 20))]
            case 4:
                tokens = tokens[:here] + other[chance.randrange(len(other) + 1) :]
            case 5:
                bracket, depth = chance.choice(("()", "[]", "{}")), chance.choice((1, 20, 60, 90, 400))
                tokens[here:here] = [bracket[0] * depth]
                tokens[there:there] = [bracket[1] * depth]
            case 6:
                tokens[here:here] = [
                    chr(chance.choice((chance.randrange(0x250), chance.randrange(0x110000))))
                ]
            case _ if here < len(tokens) and tokens[here].isidentifier():
                tokens[here] = chance.choice([token for token in tokens if token.isidentifier()])
    return "".join(tokens)


_CALL: Final[dict[str, Any]] = {
    "number": 3,
    "function": "select_answer",
    "args": {"query": "q", "info": {"$dict": [["a", [1, None, "é"]]]}, "possible_answers": ["x", "y"]},
    "line": 5,
    "local": False,
}
_TRIM: Final[dict[str, Any]] = {
    "number": 1,
    "function": "trim",
    "args": {"clip": {"$clip": "clip0"}},
    "line": 2,
    "local": True,
}
_EXIST: Final[dict[str, Any]] = {
    "number": 2,
    "function": "exist",
    "args": {"clip": {"$clip": "clip1"}, "query": "a"},
    "line": 3,
    "local": False,
}
_HISTORY: Final[dict[str, Any]] = {
    "calls": [_TRIM, _EXIST],
    "reads": [{"line": 3, "clip": "clip1", "attribute": "end", "value": 32, "after_call": 1}],
    "lines": {"2": 1, "3": 4},
    "variables": {"1": {"x": "1"}, "end": {"y": "'a'"}},
    "output": ["said", ""],
}
OUTCOMES: Final = tuple(
    json.dumps(outcome, ensure_ascii=False).encode()
    for outcome in (
        {"outcome": "next_call", "call": _CALL, "history": _HISTORY},
        {"outcome": "returned", "answer": ["a", "b"], "parsable": True, "history": _HISTORY},
        {"outcome": "raised", "type": "ValueError", "message": "no", "line": 3, "history": _HISTORY},
        {"outcome": "refused", "reasons": [{"line": 1, "kind": "policy", "message": "no", "hint": "else"}]},
        {"outcome": "killed", "reason": "budget", "message": "too much", "history": _HISTORY},
        {"outcome": "misfit", "message": "answer 1", "history": {"calls": [_TRIM, _EXIST]}},
    )
)
"""What honest children write."""

_MORSELS: Final = (
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b'"',
        b"\\",
        b"null",
        b"true",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"-0",
    ),
    *(
        b"9" * 24,
        b"9" * 40,
        b'"\\ud800"',
        b'"\\u0000"',
        b"\xff",
        b"\xed\xa0\x80",
        b"\x00",
        b'"$clip"',
        b'"$dict"',
    ),
    *(b'"clip1"', b'"clip99"', b'"outcome":"killed",', b"[" * 30, b"{" * 9999, b"[]," * 9999, b'\\"' * 9999),
    *(b'"' * 999, b'"a":1,"a":2', b"1" * 4999, b'"' + b"x" * 99_999 + b'"', b"\xef\xbb\xbf", b"\xe2\x80\xae"),
)


def damage(chance: random.Random) -> bytes:
    """Change what a child wrote, or make something up."""
    if not chance.randrange(10):
        return chance.randbytes(chance.choice((0, 1, 9, 400, 9000)))
    data = chance.choice(OUTCOMES)
    for _ in range(chance.choice((0, 1, 1, 1, 3))):
        here, there = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        match chance.randrange(8):
            case 6 | 7:  # a letter or digit for another: often still JSON
                data = data[:here] + bytes([chance.choice(b"0123456789abcXYZ \x7f")]) + data[here + 1 :]
            case 0:
                data = data[:here] + chance.choice(_MORSELS) + data[here:]
            case 1:
                data = data[:here] + chance.choice(_MORSELS) + data[here + chance.randrange(9) :]
            case 2:
                data = data[:here] + data[here + chance.choice((1, 1, 9)) :]
            case 3:
                data = data[:there] + data[here:there] * chance.choice((1, 1, 50)) + data[there:]
            case 4:
                data = data[:here] + chance.randbytes(chance.randrange(1, 5)) + data[here:]
            case 5:
                other = chance.choice(OUTCOMES)
                data = data[:here] + other[chance.randrange(len(other)) :]
    return data
