"""Answers to a clip's questions from the events that were seen in it.

Everything is said in the words of `traces/star_phrases.py`, in order of first appearance. Where options are
given, an event that is less sure may answer, if nothing surer does. What no event answers is an abstention
with a note, never a guess. Sees no pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from torch import Tensor

from aotd.tools.deeds import fits, told_actions, told_objects
from aotd.tools.event_spans import SeenEvent
from aotd.tools.models import VideoAnswer, VideoRequest
from aotd.traces.star_phrases import Phrase, action_phrase, parse_phrase
from aotd.traces.star_vocabulary import ACTIONS_BY_ID, Action

__all__ = ["Sight", "answer_from"]

_ORDER: Final = re.compile(r"\b(after|before|while|when)\b", re.IGNORECASE)
_LATER: Final = re.compile(r"\b(?:next|else|other)\b", re.IGNORECASE)
_HISSING: Final = ("s", "sh", "ch", "x", "z")


class Sight(NamedTuple):
    """What was seen in a clip.

    Attributes
    ----------
    names : tuple[str, ...]
        Classes, the person first.
    actions : tuple[str, ...]
        STAR's ids of all that could have been told apart.
    seen : Tensor
        [T, C]: how sure it is that each class is in view.
    acts : Tensor
        [T, actions]: how probable each is under way.
    events : tuple[SeenEvent, ...]
        In order, those that are not sure among them.
    frames : tuple[int, ...]
        For each frame of the request, its place among the T.
    sure, least, view : float
        Probability of an event that is told, of one that may answer where options are given, and of an
        object that is in view.
    """

    names: tuple[str, ...]
    actions: tuple[str, ...]
    seen: Tensor
    acts: Tensor
    events: tuple[SeenEvent, ...]
    frames: tuple[int, ...]
    sure: float
    least: float
    view: float

    @property
    def told(self) -> list[SeenEvent]:
        """Events that are sure, in order."""
        return [event for event in self.events if event.probability >= self.sure]

    def likely(self, wanted: Iterable[str]) -> list[SeenEvent]:
        """List the sure events among some actions; if there is none, the likeliest."""
        some = set(wanted)
        among = [event for event in self.events if event.action in some]
        sure = [event for event in among if event.probability >= self.sure]
        return sure or sorted(among, key=lambda event: -event.probability)[:1]

    def view_of(self, name: str) -> float:
        """Tell how sure it is that a class is in view, over all frames: one frame alone often errs."""
        return float(self.seen[:, self.names.index(name)].mean()) if name in self.names else 0.0


class Asked(NamedTuple):
    """A question, read."""

    verb: str | None
    obj: str | None
    order: str
    """`after` or `before` the event, `later` than the clip's first, or nothing."""
    event: Phrase | None


def answer_from(request: VideoRequest, sight: Sight) -> VideoAnswer:
    """Answer a request that has all that its task needs."""
    return _ANSWERS[request.task](request, sight)


def _read_asked(question: str) -> Asked:
    """Read a question: verb and object of its main clause, and the event that it puts it after or before."""
    parts = _ORDER.split(question, maxsplit=1)
    words = [parse_phrase(word) for word in parts[0].split()]
    verb = next((word.verb for word in words if word.verb), None)
    obj = next((word.obj for word in words if word.obj not in (None, "person")), None)
    order = parts[1].lower() if len(parts) == 3 else ""
    if order in ("after", "before"):
        return Asked(verb, obj, order, parse_phrase(parts[2]))
    return Asked(verb, obj, "later" if _LATER.search(parts[0]) else "", None)


def _objects(request: VideoRequest, sight: Sight) -> VideoAnswer:
    there = [name for name in _by_first_view(sight) if name != sight.names[0]]
    wanted = parse_phrase(request.subject or "")
    known = [a for a in _known(sight) if wanted.verb is None or a.verb == wanted.verb]
    texts = told_objects(request, _seen(request.options, known, sight), there)
    return _answer(texts, f"nothing is seen to be {request.subject}")


def _actions(request: VideoRequest, sight: Sight) -> VideoAnswer:
    obj = None if request.subject is None else parse_phrase(request.subject).obj
    known = [a for a in _known(sight) if request.subject is None or a.obj == obj]
    texts = told_actions(request, _seen(request.options, known, sight))
    return _answer(
        texts, "nothing is seen to be done" + (f" with {request.subject}" if request.subject else "")
    )


def _seen(options: Sequence[str] | None, known: Sequence[Action], sight: Sight) -> list[Action]:
    """List what was seen, in order: all that is sure; where options are given, what is likely among them."""
    if options is None:
        return [ACTIONS_BY_ID[event.action] for event in sight.told]
    phrases = [parse_phrase(option) for option in options]
    offered = [a.id for a in known if any(fits(phrase, a) for phrase in phrases)]
    return [ACTIONS_BY_ID[event.action] for event in sight.likely(offered)]


def _choice(request: VideoRequest, sight: Sight) -> VideoAnswer:
    """Choose the option whose event is the most probable where the question looks for it."""
    asked = _read_asked(request.question or "")
    frames, used = _where(asked, sight)
    phrases = {option: parse_phrase(option) for option in request.options or ()}
    scores = {
        option: max((_evidence(a, sight, frames) for a in _fitting(phrase, asked, sight, used)), default=0.0)
        for option, phrase in phrases.items()
    }
    if asked.order == "later" and max(scores.values(), default=0.0) < sight.least:
        # What else could be used: not done, but there.
        done = {event.action for event in sight.told}
        scores = {o: sight.view_of(p.obj or "") for o, p in phrases.items() if not _is_done(p, asked, done)}
    best = max(scores, key=lambda option: scores[option], default=None)
    if best is None or scores[best] < sight.least:
        return VideoAnswer(texts=(), notes=("no option is likely enough in this clip",))
    return VideoAnswer(texts=(best,), notes=(f"rule: likeliest option ({scores[best]:.2f})",))


def _open(request: VideoRequest, sight: Sight) -> VideoAnswer:
    asked = _read_asked(request.question or "")
    frames, used = _where(asked, sight)
    done = [
        ACTIONS_BY_ID[event.action]
        for event in sight.told
        if event.action not in used
        and any(event.start <= frame < event.end for frame in frames)
        and asked.verb in (None, ACTIONS_BY_ID[event.action].verb)
        and asked.obj in (None, ACTIONS_BY_ID[event.action].obj)
    ]
    which = re.match(r"\s*(?:which|what)\s+\w*\s*objects?\b", request.question or "", re.IGNORECASE)
    words = [a.obj if which else action_phrase(a.id) for a in done]
    told = ", then ".join(dict.fromkeys(words))
    return _answer((told,) if told else (), "nothing is seen that answers this")


def _summary(_: VideoRequest, sight: Sight) -> VideoAnswer:
    """Tell all that happens, whatever is asked: it is short."""
    told = ", then ".join(_does(event.action) for event in sight.told)
    return _answer((f"the person {told}",) if told else (), "nothing is seen to be done")


def _caption(_: VideoRequest, sight: Sight) -> VideoAnswer:
    each = []
    for frame in range(len(sight.acts)):
        probability, place = sight.acts[frame].max(0)
        if float(probability) >= sight.sure:
            each.append(f"the person {_does(sight.actions[int(place)])}")
        else:
            there = float(sight.seen[frame, 0]) >= sight.view
            each.append("the person does nothing that is known" if there else "no person is seen")
    return VideoAnswer(texts=tuple(each[frame] for frame in sight.frames))


def _is_this(request: VideoRequest, sight: Sight) -> VideoAnswer:
    phrase = parse_phrase(request.subject or "")
    if phrase.obj not in sight.names:
        known = f"{request.subject} is none of the {len(sight.names)} classes that are known"
        return VideoAnswer(texts=("no",), notes=(known,))
    sure = sight.view_of(str(phrase.obj))
    return VideoAnswer(texts=("yes" if sure >= sight.view else "no",), notes=(f"seen with {sure:.2f}",))


_ANSWERS: Final = {
    "objects": _objects,
    "actions": _actions,
    "choice": _choice,
    "open": _open,
    "summary": _summary,
    "caption": _caption,
    "is_this": _is_this,
}


def _where(asked: Asked, sight: Sight) -> tuple[range, frozenset[str]]:
    """Give the frames in which a question looks, and the actions that it names or leaves out.

    An event that is not seen, as in a part of a clip that was cut beside it, leaves all frames.
    """
    every = range(len(sight.acts))
    if asked.order == "later":
        return every, frozenset(event.action for event in sight.told[:1])
    if asked.event is None:
        return every, frozenset()
    meant = [a.id for a in _known(sight) if asked.event.obj and fits(asked.event, a)]
    named = sight.likely(meant)
    if not named:
        return every, frozenset(meant)
    start, end = named[0].start, named[-1].end
    part = range(end, len(every)) if asked.order == "after" else range(start)
    return part or every, frozenset(meant)


def _fitting(phrase: Phrase, asked: Asked, sight: Sight, used: frozenset[str]) -> list[Action]:
    """List the actions that an option means where the question is about a verb or an object."""
    return [
        a
        for a in _known(sight)
        if fits(phrase, a)
        and a.id not in used
        and (phrase.verb or asked.verb) in (None, a.verb)
        and (phrase.obj or asked.obj) in (None, a.obj)
    ]


def _evidence(done: Action, sight: Sight, frames: range) -> float:
    column = sight.acts[:, sight.actions.index(done.id)]
    return float(column[frames.start : frames.stop].max())


def _is_done(phrase: Phrase, asked: Asked, done: Iterable[str]) -> bool:
    return any(fits(phrase, ACTIONS_BY_ID[a]) and asked.verb in (None, ACTIONS_BY_ID[a].verb) for a in done)


def _known(sight: Sight) -> list[Action]:
    return [ACTIONS_BY_ID[key] for key in sight.actions]


def _by_first_view(sight: Sight) -> list[str]:
    """List the classes in view, by the first frame that shows them."""
    there = [place for place, name in enumerate(sight.names) if sight.view_of(name) >= sight.view]
    first = [(int((sight.seen[:, place] >= sight.view).int().argmax()), place) for place in there]
    return [sight.names[place] for _, place in sorted(first)]


def _does(action: str) -> str:
    """Word an action as "closes the door"."""
    verb, _, rest = action_phrase(action).partition(" ")
    if re.search(r"[^aeiou]y$", verb):
        return f"{verb[:-1]}ies {rest}"
    return f"{verb}{'es' if verb.endswith(_HISSING) else 's'} {rest}"


def _answer(texts: tuple[str, ...], otherwise: str) -> VideoAnswer:
    return VideoAnswer(texts=texts, notes=() if texts else (otherwise,))
