"""Examples whose every free text is an attack on the page that shows it, and the same with harmless texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from aotd.traces.records import Example

__all__ = ["ATTACK", "ATTACKS", "stories", "with_texts"]

ATTACKS: Final = (
    "<script>window.hit=1</script>",
    "</script><script>window.hit=2</script>",
    "<img src=x onerror=window.hit=3>",
    '"><svg onload=window.hit=4><use href="data:image/svg+xml,<svg id=x/>#x"/></svg>',
    "' onmouseover='window.hit=5' autofocus onfocus='window.hit=6",
    "javascript:window.hit=7",
    "</style><style>*{display:none!important}</style>",
    "</title></head></body></html><h1>gone</h1>",
    "<!--",
    "-->]]>",
    "{{ 7*7 }}{% raw %}{# #}${7*7}",
    "&lt;b&gt;&#x3c;i&#x3e;&amp;",
    "</textarea></select></option></table></dl></ol></details></svg></template></noscript>",
    "<plaintext><xmp><iframe src=//evil.example></iframe>",
    "<base href=//evil.example/><meta http-equiv=refresh content='0;url=//evil.example'>",
    "<link rel=stylesheet href=//evil.example/x.css><a href=//evil.example ping=//evil.example>go</a>",
    "../../../../etc/passwd ..\\..\\x C:\\con file:///etc/passwd",
    "#q-1-call-1 %00 \u2028\u2029 \u202eesrever\u2066 \x1b[31m \x07 \x00 \x7f \ufeff",
)
"""HTML, script, SVG, template and path tricks, and characters that hide or turn round what follows."""

ATTACK: Final = " ".join(ATTACKS)

_FIXED: Final = {"outcome", "found_as", "attribute", "clip", "program", "digest", "$clip", "run"}
"""Fields of records that are no free text: closed lists, handles, hashes, and programs, which are Python."""


def stories() -> list[Example]:
    """Read the stories that the views are tested on."""
    path = Path(__file__).parent / "golden/stories.jsonl"
    return [Example.model_validate_json(line) for line in path.read_text().splitlines()]


def with_texts(example: Example, text: str) -> Example:
    """Put a text into every free text of an example, at each kind of place that a record has one."""
    made: dict[str, Any] = _poisoned(_full(example.model_dump(mode="json")), text)
    return Example.model_validate(made)


def _full(row: dict[str, Any]) -> dict[str, Any]:
    """Give an example something of everything, so that no part of a page is left untried."""
    attempt = row["attempts"][-1]
    trace = attempt["trace"]
    trace["video"]["path"] = "clip.mp4"
    trace["output"] = ["printed"]
    trace["variables"] = {str(call["number"]): {"@name": "value"} for call in trace["calls"]}
    trace["calls"][0]["notes"] = ["note"]
    trace["calls"][0]["args"]["@more"] = {"@key": ["item", {"@inner": "text"}], "@n": 1}
    trace["calls"][0]["sightings"] = [{"frame": 3, "name": "thing", "box": [1, 2, 30, 40], "score": 0.5}]
    trace["calls"][-1]["result"] = None
    trace["calls"][-1]["error"] = {"kind": "kind", "message": "message"}
    trace["failure"] = {"outcome": "program-exception", "type": "type", "message": "message", "line": 2}
    reasons = [{"line": n, "kind": "kind", "message": "message", "hint": "hint"} for n in (1, None)]
    refused = {"program": trace["program"], "refusal": {"outcome": "unparseable", "reasons": reasons}}
    sentences = [{"text": "said", "calls": [1]}, {"text": "and", "calls": []}]
    verdict = {"check": "judge", "passed": False, "reason": "reason", "raw": "raw", "prompt": "hash"}
    return row | {
        "attempts": [refused, attempt],
        "detail": "detail",
        "answer_rule": "rule",
        "rationale": {"writer": "writer", "sentences": sentences},
        "verdicts": [verdict],
        "dropped": "dropped",
        "question": row["question"]
        | {"type": "type", "template": "template", "answer": "one", "options": ["one", "two"]},
    }


def _poisoned(value: Any, text: str) -> Any:
    """Add a text to every string that is free, and to the names that stand after `@`."""
    if isinstance(value, dict):
        return {_name(key, text): _field(key, item, text) for key, item in value.items()}
    if isinstance(value, list):
        return [_poisoned(item, text) for item in value]
    return f"{value} {text}" if isinstance(value, str) else value


def _name(key: str, text: str) -> str:
    return f"{key[1:]} {text}" if key.startswith("@") else key


def _field(key: str, item: Any, text: str) -> Any:
    if key == "program":
        return f"{item}# {text.replace(chr(0), '')}\n"
    return item if key in _FIXED and isinstance(item, str) else _poisoned(item, text)
