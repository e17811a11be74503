"""Prompt templates and worked example programs, by name.

A template is `prompts/NAME.j2`; an example is `prompts/examples/NAME.txt`, the text of a program. Templates
are rendered strictly: a slot without a value is an error, not an empty place. This file renders nothing by
itself and knows nothing of the rest of the program.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined

__all__ = ["Prompt", "examples", "prompt"]

_ENVIRONMENT = Environment(
    undefined=StrictUndefined,
    autoescape=False,  # noqa: S701  prompts are plain text, never HTML
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


class Prompt(NamedTuple):
    """A prompt template."""

    name: str
    text: str
    sha256: str
    """Of the template's text, 64 hex digits: it goes into identities and manifests."""

    def render(self, slots: Mapping[str, object]) -> str:
        """Fill the slots. Raises `jinja2.UndefinedError` when one has no value."""
        return _ENVIRONMENT.from_string(self.text).render(slots)


@cache
def prompt(name: str) -> Prompt:
    """Read `prompts/NAME.j2`. Raises FileNotFoundError when there is none."""
    text = (files("aotd.prompts") / f"{name}.j2").read_text(encoding="utf-8")
    return Prompt(name, text, hashlib.sha256(text.encode()).hexdigest())


@cache
def examples() -> Mapping[str, str]:
    """Read the worked example programs: name to text, sorted by name."""
    folder = files("aotd.prompts") / "examples"
    paths = sorted((p for p in folder.iterdir() if p.name.endswith(".txt")), key=lambda p: p.name)
    return MappingProxyType({p.name.removesuffix(".txt"): p.read_text(encoding="utf-8") for p in paths})
