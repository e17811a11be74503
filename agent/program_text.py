"""Take a program out of a chat model's reply: thoughts, fences and prose around it are left out.

Works by rules on lines and never parses: a program is untrusted, and a hostile text can crash a parser.
Whether what is left is a program at all is for the check to say. Mends nothing inside of the code.
"""

from __future__ import annotations

import re
import textwrap
from typing import Final

__all__ = ["program_of"]

_FENCE: Final = re.compile(
    r"(?:`{3,}|~{3,})(?P<language>[ \t]*py(?:thon)?[\d.]*(?!\w)|[ \t]*[\w+.#-]+[ \t]*(?=\n|\Z))?",
    re.IGNORECASE,
)
"""A fence; one with a language always opens a block, one without closes an open block."""

_START: Final = re.compile(
    r"(?:async )?def \w|class \w|import \w|from [\w.]+ import\b|@\w|[A-Za-z_]\w*[ \t]*(?::[^=\n]+)?=(?!=)"
)
"""A line at the margin that begins a statement; prose seldom looks so."""

_MORE: Final = re.compile(r"[ \t]|#|[)\]}]|$")
"""A line that continues a statement: indented, a comment, a closing bracket or blank."""

_ENTRY: Final = re.compile(r"^(?:async )?def[ \t]+execute_command\b", re.MULTILINE)
_DEF: Final = re.compile(r"^(?:async )?def ", re.MULTILINE)


def program_of(reply: str) -> str | None:
    """Find the program in a reply.

    The last fenced block that defines `execute_command`; else such code outside of fences, without the
    prose around it; else the last fenced block, so that the check can say what it lacks; else code with
    another function in it. Thoughts between `<think>` and `</think>` never count.

    Returns
    -------
    str or None
        The program, ending in one newline; None if the reply holds no code.
    """
    outside, blocks = _parts(_without_thoughts(reply.replace("\r\n", "\n").replace("\r", "\n")))
    bare = _code_lines(outside)
    found = [bare] if _DEF.search(bare) else []
    found += [code for block in blocks if (code := _from_first_statement(block))]
    entries = [code for code in found if _ENTRY.search(code)]
    chosen = entries or found
    return f"{chosen[-1]}\n" if chosen else None


def _without_thoughts(text: str) -> str:
    """Drop what was thought aloud; a chat template may hold the opening tag itself."""
    begin, end = "<think>", "</think>"
    said, *thoughts = text.split(begin)
    after = (thought.partition(end)[2].rpartition(end)[2] for thought in thoughts)
    return said.rpartition(end)[2] + "".join(after)


def _parts(text: str) -> tuple[str, list[str]]:
    """Split into the text outside of fences and the fenced blocks; the last block may lack its end."""
    outside: list[str] = []
    blocks: list[str] = []
    inside, begin = False, 0
    for fence in _FENCE.finditer(text):
        (blocks if inside else outside).append(text[begin : fence.start()])
        inside, begin = bool(fence["language"]) or not inside, fence.end()
    (blocks if inside else outside).append(text[begin:])
    return "\n".join(outside), [textwrap.dedent(block) for block in blocks]


def _from_first_statement(block: str) -> str:
    """Drop what stands before the first statement at the margin; without one, keep all."""
    lines = block.split("\n")
    first = next((number for number, line in enumerate(lines) if _START.match(line)), 0)
    return "\n".join(lines[first:]).strip("\n").rstrip()


def _code_lines(text: str) -> str:
    """Keep the lines that are statements or continue one."""
    kept: list[str] = []
    inside = False
    for line in textwrap.dedent(text).split("\n"):
        inside = bool(_START.match(line) or (inside and _MORE.match(line)))
        if inside:
            kept.append(line)
    return "\n".join(kept).rstrip()
