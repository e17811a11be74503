"""The selector that asks a chat model: which option do the findings support, or do two texts mean the same.

Options are lettered and the model is held to the letters; what it says is read by the rules of
`aotd.traces.answers`, and words that name no option, or several, choose none. Findings and options are quoted
as data. No evidence is weighed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from aotd.prompts.loader import BUILT_IN, Prompt, Templates
from aotd.prompts.quoting import quoted
from aotd.tools.models import (
    Choice,
    Message,
    ModelIdentity,
    Reply,
    SelectRequest,
    TextModel,
    TextRequest,
    ToolError,
)
from aotd.traces.answers import letter, mc_v1

__all__ = ["LlmSelector"]

_LETTERS: Final = 26
_YES_NO: Final = re.compile(r"[\s*_.,:;()#-]*((?ai:yes|no))\b")


class LlmSelector:
    """Selection by a chat model.

    Parameters
    ----------
    model
        The chat model; its front is the selector's, so it is asked in batches and remembered.
    comparer
        The chat model that compares texts, if it is another.
    templates
        The prompts.
    """

    reads_pixels = False

    def __init__(
        self, model: TextModel, comparer: TextModel | None = None, templates: Templates = BUILT_IN
    ) -> None:
        self._model = model
        self._comparer = comparer or model
        self._select = templates["selector"]
        self._compare = templates["comparer"]
        self.identity = _identity(model, comparer, (self._select, self._compare))

    def select(self, requests: Sequence[SelectRequest]) -> Sequence[Choice | ToolError]:
        """Choose for each request; a request that cannot be lettered is an error of its own."""
        answers = {place: known for place, r in enumerate(requests) if (known := _without_model(r))}
        open_ = [place for place in range(len(requests)) if place not in answers]
        if self._comparer is self._model:
            parts = [(self._model, open_)]
        else:
            compared = [place for place in open_ if _is_comparison(requests[place])]
            parts = [(self._model, [p for p in open_ if p not in compared]), (self._comparer, compared)]
        for model, places in parts:
            replies = model.complete([self._ask(requests[place]) for place in places]) if places else ()
            for place, reply in zip(places, replies, strict=True):
                answers[place] = _choice(requests[place], reply)
        return [answers[place] for place in range(len(requests))]

    def _ask(self, request: SelectRequest) -> TextRequest:
        if _is_comparison(request):
            first = "; ".join(_leaves(request.info))
            second = quoted((request.options or ("",))[0])
            return _request("comparer", self._compare, {"first": first, "second": second}, ("yes", "no"))
        options = None
        if request.options is not None:
            options = [{"letter": letter(i), "text": quoted(o)} for i, o in enumerate(request.options)]
        slots = {"query": quoted(request.query), "bullets": list(_bullets(request.info)), "options": options}
        letters = None if options is None else tuple(option["letter"] for option in options)
        return _request("selector", self._select, slots, letters)


def _identity(model: TextModel, comparer: TextModel | None, prompts: Sequence[Prompt]) -> ModelIdentity:
    """Say what decides choices: the model, the one that compares, and the prompts."""
    own = model.identity
    changed: dict[str, object] = {
        "id": f"selector/{own.id}",
        "prompts": {**own.prompts, **{p.name: p.sha256 for p in prompts}},
    }
    if comparer is not None:
        changed["settings"] = {**own.settings, "comparer": f"{comparer.identity.id}/{comparer.identity.key}"}
        changed["sampled"] = own.sampled or comparer.identity.sampled
    return own.model_copy(update=changed)


def _request(
    role: str, template: Prompt, slots: Mapping[str, object], choices: tuple[str, ...] | None
) -> TextRequest:
    message = Message(role="user", content=template.render(slots))
    return TextRequest.model_validate({"role": role, "messages": (message,), "choices": choices})


def _is_comparison(request: SelectRequest) -> bool:
    return request.task == "compare"


def _without_model(request: SelectRequest) -> Choice | ToolError | None:
    if request.options is None or 0 < len(request.options) <= _LETTERS:
        return None
    if not request.options:
        return Choice(text=None, notes=("there are no options",))
    count = len(request.options)
    return ToolError(kind="too-many-options", message=f"{count} options; there are letters for {_LETTERS}")


def _choice(request: SelectRequest, reply: Reply | ToolError) -> Choice | ToolError:
    if isinstance(reply, ToolError):
        return reply
    spent = {"prompt_tokens": reply.prompt_tokens, "reply_tokens": reply.reply_tokens}
    return _read(request, reply).model_copy(update=spent)


def _read(request: SelectRequest, reply: Reply) -> Choice:
    said = reply.text.strip()
    if _is_comparison(request):
        return _compared(request, said)
    if request.options is None:
        notes = ("the reply was cut off",) if reply.truncated else ()
        return Choice(text=" ".join(said.split()) or None, notes=notes, raw=reply.text)
    parsed = mc_v1(said, request.options) if said else None
    if parsed is None or parsed.index is None:
        rule = "empty" if parsed is None else parsed.rule
        return Choice(text=None, notes=(f"the reply names no one option: {rule}",), raw=reply.text)
    return Choice(text=request.options[parsed.index], notes=(f"rule: {parsed.rule}",), raw=reply.text)


def _compared(request: SelectRequest, said: str) -> Choice:
    found = _YES_NO.match(said)
    if found is None:
        return Choice(text=None, notes=("the reply says neither yes nor no",), raw=said)
    same = found[1].lower() == "yes"
    return Choice(
        text=(request.options or (None,))[0] if same else None, notes=(f"said: {found[1].lower()}",), raw=said
    )


def _bullets(value: JsonValue, depth: int = 0) -> Iterator[str]:
    """Write findings as nested bullets, as AoTD does: one a line, keys and texts quoted."""
    for key, item in value.items() if isinstance(value, dict) else ():
        indent = "  " * depth
        if isinstance(item, dict) and item:
            yield f"{indent}- {quoted(key)}:"
            yield from _bullets(item, depth + 1)
        else:
            yield f"{indent}- {quoted(key)}: {quoted(item)}"


def _leaves(value: JsonValue) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    else:
        yield quoted(value)
