"""How texts of others stand in a prompt: as JSON on one line, which cannot end the place that holds it.

Whatever a question, a video model or a chain of thought says, it opens and closes no `<data>` block of a
template and spells no control token of a chat model. What it says may still sway a model; what a model
replies is parsed by rules of its own.
"""

from __future__ import annotations

import json
import re
from typing import Final

__all__ = ["quoted"]

_UNSAFE: Final = re.compile(r"[<>]|\[(?=/?[A-Z_]+\])|[^ -~]")
"""What could close a tag or pass for a control token such as `[INST]`, and what may not print."""


def quoted(value: object) -> str:
    """Write a JSON value on one line, unsafe signs as escapes; reading it back gives the value unchanged."""
    return _UNSAFE.sub(_escaped, json.dumps(value, ensure_ascii=False))


def _escaped(match: re.Match[str]) -> str:
    sign = match[0]
    if sign not in "<>[" and sign.isprintable():
        return sign
    return re.sub("....", r"\\u\g<0>", sign.encode("utf-16-be", "surrogatepass").hex())
