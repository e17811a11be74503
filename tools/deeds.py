"""What a list of actions answers, by STAR's words: for models that know actions by their ids.

Reads a request's subject and options and picks from actions that were seen, in their order. Words that the
vocabulary does not know find nothing. Sees no video.
"""

from __future__ import annotations

from collections.abc import Sequence

from aotd.tools.models import VideoRequest
from aotd.traces.star_phrases import Phrase, action_phrase, parse_phrase
from aotd.traces.star_vocabulary import Action

__all__ = ["fits", "fitting_options", "told_actions", "told_objects"]


def fits(phrase: Phrase, done: Action | Phrase) -> bool:
    """Tell whether an action, or what a text says, is what a phrase says: its verb, its object, or both."""
    if phrase.verb is None and phrase.obj is None:
        return False
    return phrase.verb in (None, done.verb) and phrase.obj in (None, done.obj)


def fitting_options(options: Sequence[str], seen: Sequence[Action]) -> tuple[str, ...]:
    """List the options that an action fits, in the actions' order."""
    return tuple(dict.fromkeys(o for a in seen for o in options if fits(parse_phrase(o), a)))


def told_objects(request: VideoRequest, seen: Sequence[Action], there: Sequence[str]) -> tuple[str, ...]:
    """Answer the task `objects`: those of the actions with the subject's verb; without a verb, all there are.

    Parameters
    ----------
    request
        Of that task.
    seen
        Actions in order.
    there
        Names of the objects in view, in order; the person is none.
    """
    verb = parse_phrase(request.subject or "").verb
    names = dict.fromkeys(there if verb is None else (a.obj for a in seen if a.verb == verb))
    if request.options is None:
        return tuple(names)
    options = {parse_phrase(o).obj: o for o in reversed(request.options)}
    return tuple(options[n] for n in names if n in options)


def told_actions(request: VideoRequest, seen: Sequence[Action]) -> tuple[str, ...]:
    """Answer the task `actions`: phrases, those with the subject when it is given.

    Parameters
    ----------
    request
        Of that task.
    seen
        Actions in order.
    """
    if request.subject is not None:
        obj = parse_phrase(request.subject).obj
        seen = [a for a in seen if a.obj == obj]
    if request.options is None:
        return tuple(dict.fromkeys(action_phrase(a.id) for a in seen))
    return fitting_options(request.options, seen)
