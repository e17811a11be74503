"""Prompt templates and worked example programs, by name.

A template is `prompts/NAME.j2`, or a file of the user that replaces it; an example is the text of a program,
`prompts/examples/NAME.txt`. Templates are rendered strictly: a slot without a value is an error, not an empty
place. This file renders nothing by itself and knows nothing of the rest of the program.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from jinja2 import Environment, StrictUndefined, TemplateSyntaxError
from jinja2.meta import find_undeclared_variables

__all__ = ["BUILT_IN", "Prompt", "Templates", "examples", "prompt"]

_NEEDED: Final[Mapping[str, frozenset[str]]] = {
    "question": frozenset({"question"}),
    "writer": frozenset({"lines"}),
    "judge": frozenset({"case"}),
    "answer_judge": frozenset({"case"}),
    "selector": frozenset({"query", "bullets", "options"}),
    "comparer": frozenset({"first", "second"}),
}
"""Slots without which a role would not be told what it is asked about."""

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


class Templates:
    """Prompt templates by name: the built-in ones, but for those that a file replaces.

    Parameters
    ----------
    replaced
        Files by template name.

    Raises
    ------
    ValueError
        In one line, if a file cannot be read, is no template, has a slot that nothing fills, or lacks one
        without which its role would not know what it is asked.
    """

    def __init__(self, replaced: Mapping[str, str]) -> None:
        self._replaced = {name: _replacement(name, Path(path)) for name, path in replaced.items()}

    def __getitem__(self, name: str) -> Prompt:
        return self._replaced.get(name) or prompt(name)


def _replacement(name: str, path: Path) -> Prompt:
    try:
        text = path.read_text(encoding="utf-8")
        _ENVIRONMENT.from_string(text)  # finds what parsing lets through, such as an unknown filter
        slots = _slots(text)
    except (OSError, UnicodeDecodeError, TemplateSyntaxError) as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ValueError(f"prompts.{name}={path}: {why}") from None
    known = _slots(prompt(name).text)
    for slot in sorted(slots - known):
        raise ValueError(f"prompts.{name}={path}: nothing fills {slot}; slots are {', '.join(sorted(known))}")
    for slot in sorted(_NEEDED.get(name, frozenset()) - slots):
        raise ValueError(
            f"prompts.{name}={path}: it lacks {{{{ {slot} }}}}, without which the model is blind"
        )
    return Prompt(name, text, hashlib.sha256(text.encode()).hexdigest())


def _slots(template: str) -> set[str]:
    return find_undeclared_variables(_ENVIRONMENT.parse(template))


@cache
def prompt(name: str) -> Prompt:
    """Read `prompts/NAME.j2`. Raises FileNotFoundError when there is none."""
    text = (files("aotd.prompts") / f"{name}.j2").read_text(encoding="utf-8")
    return Prompt(name, text, hashlib.sha256(text.encode()).hexdigest())


BUILT_IN: Final = Templates({})
"""The templates that come with the package."""


@cache
def examples() -> Mapping[str, str]:
    """Read the worked example programs: name to text, sorted by name."""
    folder = files("aotd.prompts") / "examples"
    paths = sorted((p for p in folder.iterdir() if p.name.endswith(".txt")), key=lambda p: p.name)
    return MappingProxyType({p.name.removesuffix(".txt"): p.read_text(encoding="utf-8") for p in paths})
