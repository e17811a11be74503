"""Programs for STAR's 20 question templates, in the style of AoTD (CVPR 2025, appendix D.1).

Every program localises what the question names, looks at the person (and the object) there, queries what is
asked, and chooses an answer from the collected `info`. Where STAR's own programs take what comes before or
after an event, ours trim the clip at the event's edge; where they take the first, the last or the others,
ours slice a list that is in order of first appearance. Only words of STAR's vocabulary enter a program, so
they are quoted as they are. This file writes text; it reads no question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from aotd.traces.star_phrases import Form, Phrase, action_phrase, inflect
from aotd.traces.star_vocabulary import FEASIBLE

__all__ = ["Reading", "star_program"]

_NOTHING: Final = Phrase(None, "", None, None, "", None)

_SELECT: Final = "answer = select_answer(query, info, possible_answers)"
_FORESEE: Final = f"""\
{_SELECT}
if not answer:
    answer = Video_query(video_clip, query, possible_answers)"""
"""STAR's clips end early in the action that is to be foreseen, or before it: where no evidence supports an
answer, the whole question is asked of the clip."""


class Reading(NamedTuple):
    """A STAR question, read: its template and the words in its slots. Slots of other templates are empty."""

    template: str
    """STAR's release label, such as `Interaction_T1`."""
    asked: Phrase = _NOTHING
    """The verb, or the object, that the question asks about."""
    event: Phrase = _NOTHING
    """The action that it names as a condition."""
    states: tuple[str, ...] = ()
    """The relations that it names as conditions, in its own words: "holding the dish"."""
    options: bool = True
    """It is multiple choice."""


def star_program(reading: Reading) -> str:
    """Write the program of a question that follows one of STAR's templates."""
    foresees = reading.template.startswith(("Prediction", "Feasibility"))
    body = _steps(_WRITERS[reading.template](reading), _FORESEE if foresees else _SELECT, "return answer")
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"def execute_command(video_clip, query, possible_answers):\n{lines}"


def _words(phrase: Phrase, form: Form) -> str:
    """Word a phrase's verb: "put down"."""
    return f"{inflect(phrase.verb or '', form)} {phrase.particle}".strip()


def _happening(event: Phrase) -> str:
    """Word an event for the localiser: "person is putting down the sandwich"."""
    return f"person is {_words(event, 'gerund')} the {event.obj}"


def _named(event: Phrase) -> str:
    """Word an event as `Query_Actions` does: "put down the sandwich"."""
    return action_phrase(event.action) if event.action else f"{_words(event, 'base')} the {event.obj}"


def _described(asked: Phrase) -> str:
    """Word what `Query_Objs` looks for: "object put down by the person"."""
    return f"object {_words(asked, 'participle')} by the person"


def _steps(*blocks: str) -> str:
    return "\n".join(blocks)


def _look(part: str, obj: str | None = None) -> str:
    """Collect evidence from a clip: where the person, and the object, are seen and what happens there."""
    person = f"""\
info = {{}}
person_clip = Find({part}, "person")
if person_clip.num_frames > 0:
    info["what the person does"] = Video_summary(person_clip, query)"""
    if obj is None:
        return person
    return f"""\
{person}
object_clip = Find({part}, "{obj}")
if object_clip.num_frames > 0:
    info["what happens to the {obj}"] = Video_summary(object_clip, query)"""


def _after(event: Phrase) -> str:
    """Cut the part after an event; when the event lasts to the end, the part from its beginning."""
    return f"""\
event = Filter_frames_with_act(video_clip, "{_happening(event)}")
part = trim(video_clip, start=event.end)
if part.num_frames == 0:
    part = trim(video_clip, start=event.start)"""


def _before(event: Phrase) -> str:
    """Cut the part before an event; when the event begins at once, the part up to its end."""
    return f"""\
event = Filter_frames_with_act(video_clip, "{_happening(event)}")
part = trim(video_clip, end=event.start)
if part.num_frames == 0:
    part = trim(video_clip, end=event.end)"""


def _actions(event: Phrase, obj: str | None) -> str:
    """List the actions in the part, all but the event itself: the part may hold it."""
    if obj is None:
        return f"""\
actions = Query_Actions(part)
actions = [action for action in actions if action != "{_named(event)}"]"""
    query = f'actions = Query_Actions(part, "{obj}")'
    if obj != event.obj:
        return query
    return f"""\
{query}
actions = [action for action in actions if action != "{_named(event)}"]"""


def _objects(asked: Phrase, event: Phrase) -> str:
    """List the objects of the asked verb in the part, all but the event's own: the part may hold it."""
    query = f'objects = Query_Objs(part, "{_described(asked)}")'
    if asked.verb != event.verb:
        return query
    return f"""\
{query}
objects = [name for name in objects if name != "{event.obj}"]"""


def _interaction_object(reading: Reading) -> str:
    wanted = _described(reading.asked)
    return _steps(
        _look("video_clip"),
        f'info["{wanted}"] = Query_Objs(video_clip, "{wanted}", possible_answers)',
    )


def _interaction_verb(reading: Reading) -> str:
    obj = reading.asked.obj
    return _steps(
        _look("video_clip", obj),
        f'info["what the person did with the {obj}"] = Query_Actions(video_clip, "{obj}", possible_answers)',
    )


def _state_actions(reading: Reading) -> str:
    """Ask what the person does in a state; a state that is never seen ends the program at the query."""
    (state,) = reading.states
    return _steps(
        f'part = Filter_frames_with_act(video_clip, "person is {state}")',
        _look("part"),
        f'info["actions while {state}"] = Query_Actions(part, possible_answers=possible_answers)',
    )


def _two_states_actions(reading: Reading) -> str:
    """Ask in two states, each looked for in the whole clip: what is found in either counts."""
    first, second = reading.states
    return _steps(
        f"""\
first = Filter_frames_with_act(video_clip, "person is {first}")
second = Filter_frames_with_act(video_clip, "person is {second}")""",
        _look("video_clip"),
        f"""\
if first.num_frames > 0 or second.num_frames == 0:
    info["actions while {first}"] = Query_Actions(first, possible_answers=possible_answers)
if second.num_frames > 0:
    info["actions while {second}"] = Query_Actions(second, possible_answers=possible_answers)""",
    )


def _object_after(reading: Reading) -> str:
    return _steps(
        _after(reading.event),
        _look("part"),
        _objects(reading.asked, reading.event),
        f'info["first {_described(reading.asked)} after the event"] = objects[:1]',
    )


def _object_before(reading: Reading) -> str:
    return _steps(
        _before(reading.event),
        _look("part"),
        _objects(reading.asked, reading.event),
        f'info["last {_described(reading.asked)} before the event"] = objects[-1:]',
    )


def _action_after(reading: Reading) -> str:
    return _steps(
        _after(reading.event),
        _look("part", reading.asked.obj),
        _actions(reading.event, reading.asked.obj),
        'info["first action after the event"] = actions[:1]',
    )


def _action_before(reading: Reading) -> str:
    return _steps(
        _before(reading.event),
        _look("part", reading.asked.obj),
        _actions(reading.event, reading.asked.obj),
        'info["last action before the event"] = actions[-1:]',
    )


def _next_action(_: Reading) -> str:
    """Take every action that first appears after the very first one, as STAR does."""
    return _steps(
        _look("video_clip"),
        """\
actions = Query_Actions(video_clip)
info["actions after the first one"] = actions[1:]""",
    )


def _next_action_with(reading: Reading) -> str:
    obj = reading.asked.obj
    return _steps(
        _look("video_clip", obj),
        f"""\
first = Query_Actions(video_clip)[:1]
actions = Query_Actions(video_clip, "{obj}")
info["later actions with the {obj}"] = [action for action in actions if action not in first]""",
    )


def _next_object(reading: Reading) -> str:
    """Take the objects of the verb, all but that of the very first action if it is the verb's."""
    verb, wanted = _words(reading.asked, "base"), _described(reading.asked)
    return _steps(
        _look("video_clip"),
        f"""\
first = Query_Actions(video_clip)[:1]
objects = Query_Objs(video_clip, "{wanted}")
info["later {wanted}"] = [name for name in objects if f"{verb} the {{name}}" not in first]""",
    )


def _next_object_after(reading: Reading) -> str:
    return _steps(
        _after(reading.event),
        _look("part"),
        _objects(reading.asked, reading.event),
        f'info["{_described(reading.asked)} after the event"] = objects',
    )


def _other_object(reading: Reading) -> str:
    """Take what is in the scene, fits the verb and is not what the verb was done to first."""
    wanted = _described(reading.asked)
    possible = ", ".join(f'"{name}"' for name in sorted(FEASIBLE[reading.asked.verb or ""]))
    offered = ' and f"The {name}." in possible_answers' if reading.options else ""
    return _steps(
        _look("video_clip"),
        f"""\
possible = [{possible}]
done = Query_Objs(video_clip, "{wanted}")[:1]
others = [name for name in possible if name not in done{offered}]
info["other possible objects in the scene"] = [name for name in others if exist(video_clip, name)]""",
    )


def _other_action(reading: Reading) -> str:
    obj = reading.asked.obj
    return _steps(
        _look("video_clip", obj),
        f"""\
actions = Query_Actions(video_clip, "{obj}")
info["other actions with the {obj}"] = actions[1:]""",
    )


def _state_objects(reading: Reading) -> str:
    (state,) = reading.states
    wanted = _described(reading.asked)
    return _steps(
        f'part = Filter_frames_with_act(video_clip, "person is {state}")',
        _look("part"),
        f'info["{wanted}"] = Query_Objs(part, "{wanted}", possible_answers)',
    )


def _able_object_after(reading: Reading) -> str:
    asked, event = reading.asked, reading.event
    excluded = f"""
objects = [name for name in objects if name not in ("{event.obj}", "The {event.obj}.")]"""
    return _steps(
        _after(event),
        _look("part"),
        f'objects = Query_Objs(part, "{_described(asked)}", possible_answers)'
        + (excluded if asked.verb == event.verb else ""),
        f'info["{_described(asked)} after the event"] = objects',
    )


def _able_action_after(reading: Reading) -> str:
    named = _named(reading.event)
    option = f"{named[0].upper()}{named[1:]}."
    return _steps(
        _after(reading.event),
        _look("part"),
        f"""\
actions = Query_Actions(part, possible_answers=possible_answers)
actions = [action for action in actions if action not in ("{named}", "{option}")]
info["actions after the event"] = actions""",
    )


_WRITERS: Final[Mapping[str, Callable[[Reading], str]]] = MappingProxyType(
    {
        "Interaction_T1": _interaction_object,
        "Interaction_T2": _interaction_verb,
        "Interaction_T3": _state_actions,
        "Interaction_T4": _two_states_actions,
        "Sequence_T1": _object_after,
        "Sequence_T2": _object_before,
        "Sequence_T3": _action_after,
        "Sequence_T4": _action_before,
        "Sequence_T5": _action_after,
        "Sequence_T6": _action_before,
        "Prediction_T1": _next_action,
        "Prediction_T2": _next_action_with,
        "Prediction_T3": _next_object,
        "Prediction_T4": _next_object_after,
        "Feasibility_T1": _other_object,
        "Feasibility_T2": _other_action,
        "Feasibility_T3": _state_objects,
        "Feasibility_T4": _state_actions,
        "Feasibility_T5": _able_object_after,
        "Feasibility_T6": _able_action_after,
    }
)
"""The writer of each template's programs."""
