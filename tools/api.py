"""The functions that a program may call, declared once.

Names, typed signatures and docstrings; no bodies. From these declarations come the page in the planner's
prompt, the contract lint and the proxies in the sandbox, the schema of a recorded call and the dispatch
in `aotd.tools.calls`. Semantics: AoTD (CVPR 2025) appendix D.1, with empty evidence as data.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, get_type_hints

from aotd.traces.records import Clip

__all__ = ["API", "ENTRY", "Function", "Parameter", "wire"]

Kind = Literal[
    "clip", "str", "str?", "int?", "list[str]?", "str|list[str]", "dict", "bool", "int", "list[str]"
]

_KINDS: Final[dict[object, Kind]] = {
    Clip: "clip",
    str: "str",
    str | None: "str?",
    int | None: "int?",
    list[str] | None: "list[str]?",
    str | list[str]: "str|list[str]",
    dict[str, object]: "dict",
    bool: "bool",
    int: "int",
    list[str]: "list[str]",
}

ENTRY: Final = ("video_clip", "query", "possible_answers")
"""Parameters of `execute_command`; `possible_answers` is None for an open-ended question."""


class Parameter(NamedTuple):
    """A parameter of a program function; `required` ones have no default (every default is None)."""

    name: str
    kind: Kind
    required: bool


class Function(NamedTuple):
    """A declared program function."""

    name: str
    parameters: tuple[Parameter, ...]
    returns: Kind
    doc: str
    signature: str
    """As printed for the planner: `Find(clip: Clip, obj: str) -> Clip`."""
    local: bool
    """Answered inside the sandbox."""


_declared: dict[str, Function] = {}


def function(declaration: Callable[..., object], *, local: bool = False) -> Callable[..., object]:
    """Add a declaration to the API."""
    hints = get_type_hints(declaration)
    parameters = tuple(
        Parameter(name, _KINDS[hints[name]], parameter.default is inspect.Parameter.empty)
        for name, parameter in inspect.signature(declaration).parameters.items()
    )
    name = declaration.__name__
    doc = inspect.getdoc(declaration) or ""
    text = str(inspect.signature(declaration)).replace("'", "")
    _declared[name] = Function(name, parameters, _KINDS[hints["return"]], doc, name + text, local)
    return declaration


def local(declaration: Callable[..., object]) -> Callable[..., object]:
    """Add a declaration that the sandbox answers itself."""
    return function(declaration, local=True)


@function
def Find(clip: Clip, obj: str) -> Clip:
    """Crop the clip to its best sighting of `obj` in each frame; frames without one are left out."""


@function
def Filter_frames_with_act(clip: Clip, action: str | list[str]) -> Clip:
    """Keep the frames in which `action` happens; a list of actions narrows the clip one after another."""


@function
def Filter_frames_with_obj(clip: Clip, obj: str) -> Clip:
    """Keep the frames in which `obj` is seen."""


@local
def trim(clip: Clip, start: int | None = None, end: int | None = None) -> Clip:
    """Keep the frames from `start` up to but not including `end`, both frame ids of the original video."""


@function
def exist(clip: Clip, query: str) -> bool:
    """Tell whether `query` is seen anywhere in the clip; False for an empty clip."""


@function
def Count(clip: Clip, obj: str) -> int:
    """Count `obj`: the most of them that any one frame shows; 0 for an empty clip."""


@function
def Query_Objs(clip: Clip, query: str, possible_answers: list[str] | None = None) -> list[str]:
    """Name the objects that fit a description such as "object taken by the person".

    Without options: distinct names in order of first appearance. With options: those of them that fit.
    """


@function
def Query_Actions(clip: Clip, obj: str | None = None, possible_answers: list[str] | None = None) -> list[str]:
    """Name the person's actions in the clip, only those with `obj` when it is given.

    Without options: distinct phrases such as "put down the cup" in order of first appearance. With
    options: those of them that fit.
    """


@function
def Video_query(clip: Clip, query: str, possible_answers: list[str] | None = None) -> str:
    """Answer a question about the clip; with options the answer is one of them."""


@function
def Video_summary(clip: Clip, query: str | None = None) -> str:
    """Describe the clip in one sentence, with `query` in mind."""


@function
def Video_caption(clip: Clip) -> list[str]:
    """Describe each frame of the clip."""


@function
def Compare(a: str, b: str) -> bool:
    """Tell whether two texts mean the same."""


@function
def select_answer(query: str, info: dict[str, object], possible_answers: list[str] | None) -> str:
    """Choose the answer to `query` that the collected `info` supports; an empty text if it supports none."""


API: Final[Mapping[str, Function]] = MappingProxyType(_declared)
"""All functions, in the order of their declaration."""


def wire() -> list[dict[str, object]]:
    """Return the declarations as JSON: how they reach the sandbox, which imports nothing of ours."""
    return [
        {
            "name": f.name,
            "parameters": [{"name": p.name, "kind": p.kind, "required": p.required} for p in f.parameters],
            "returns": f.returns,
            "local": f.local,
        }
        for f in API.values()
    ]
