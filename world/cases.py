"""Every question that an episode could be asked, before options are chosen.

A case says which event answers a question, under what condition, and on which frames. Clips keep STAR's
bounds: an event, a span of two, or what comes before the event that is asked for. Nothing is worded here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from aotd.world.motion import Episode
from aotd.world.plan import Event, Plan
from aotd.world.scene import CARRIED, FPS, TABLE, USES, Move

__all__ = ["Case", "cases", "placed_cases"]

_SHORTEST: Final = 3 * FPS
"""Frames that a clip has at least; STAR's shortest clips are three seconds."""
_PLACED: Final = ("near", "on_the_side_of")

_UNNAMED: Final = frozenset({"Prediction_T1", "Prediction_T2", "Prediction_T3", "Feasibility_T2"})
"""Forms that do not name their condition, which only the clip shows."""

State = tuple[str, str]
"""A STAR relation and its object."""


class Case(NamedTuple):
    """A question that could be asked: what answers it, under what condition, on which frames.

    Attributes
    ----------
    template : str
    answer : Event
        What the question is about.
    condition : Event or None
    states : tuple[tuple[str, str], ...]
        Relations, each with its object, that hold throughout the answer's event.
    clip : tuple[int, int]
        Frames [start, end) that are seen.
    until : int
        Frame at which the graph ends; after the clip's end where the answer lies in the future.
    """

    template: str
    answer: Event
    condition: Event | None
    states: tuple[State, ...]
    clip: tuple[int, int]
    until: int

    @property
    def named(self) -> Move | None:
        """The condition's move, if the question names it."""
        return self.condition.move if self.condition and self.template not in _UNNAMED else None

    @property
    def told(self) -> frozenset[str]:
        """Objects that the question's condition names."""
        names = [name for _, name in self.states]
        return frozenset([*names, self.named.object] if self.named else names)


def cases(script: Plan) -> Iterator[Case]:
    """List the cases that follow from a plan alone."""
    events = script.events
    for place, event in enumerate(events):
        clip = _widen(script, place)
        for template in ("Interaction_T1", "Interaction_T2"):
            yield Case(template, event, None, (), clip, clip[1])
        yield from _meanwhile(event, clip)
        if place + 1 < len(events):
            yield from _others(script, event, events[place + 1].end, clip)
        for later in range(place + 1, len(events)):
            yield from _sequences(events, place, later)
            yield from _futures(events, place, later, clip)


def placed_cases(episode: Episode) -> Iterator[Case]:
    """List the cases about where the person is during an event: beside an object that is not moved.

    The clip begins with the event before and ends a quarter into its own.
    """
    events = episode.plan.events
    for before, answer in pairwise(events):
        end = answer.start + (answer.end - answer.start) // 4
        clip = (min(before.start, end - _SHORTEST), end)
        during = [set(frame.relations) for frame in episode.frames[answer.start : answer.end]]
        for state in sorted(set.intersection(*during)):
            moved = {answer.move.object, before.move.object}
            if state[0] in _PLACED and state[1] in CARRIED and state[1] not in moved:
                for template in ("Feasibility_T3", "Feasibility_T4"):
                    yield Case(template, answer, None, (state,), clip, answer.end)


def _meanwhile(event: Event, clip: tuple[int, int]) -> Iterator[Case]:
    """List what the person does while holding something, or on a seat, or while leaning on the table."""
    held = event.held if event.held != event.move.object else None
    on = event.seat and ("lying_on" if event.seat.verb == "lie" else "sitting_on", event.seat.object)
    if held:
        for relation in ("holding", "touching"):
            yield Case("Interaction_T3", event, None, ((relation, held),), clip, clip[1])
    if on and on[0] == "lying_on":
        yield Case("Interaction_T3", event, None, (on,), clip, clip[1])
    on = ("leaning_on", TABLE) if event.leans else on
    if on and event.held:
        both = (("touching", event.held), on)
        for states in (both, both[::-1]):
            yield Case("Interaction_T4", event, None, states, clip, clip[1])


def _sequences(events: Sequence[Event], first: int, second: int) -> Iterator[Case]:
    """List the Sequence questions about two events and what lies between them."""
    one, two = events[first], events[second]
    between = events[first + 1 : second]
    forms = [("3", one, two), ("4", two, one)] if not between else []
    if one.move.verb not in {event.move.verb for event in between}:
        forms.append(("2", two, one))
    if two.move.verb not in {event.move.verb for event in between}:
        forms.append(("1", one, two))
    if one.move.object != two.move.object:
        handled = {event.move.object for event in between}
        forms += [("5", one, two)] if two.move.object not in handled else []
        forms += [("6", two, one)] if one.move.object not in handled else []
    for number, condition, answer in forms:
        yield Case(f"Sequence_T{number}", answer, condition, (), (one.start, two.end), two.end)


def _futures(events: Sequence[Event], first: int, later: int, clip: tuple[int, int]) -> Iterator[Case]:
    """List the Prediction and Feasibility questions whose answer is a later event."""
    condition, answer = events[first], events[later]
    between = events[first + 1 : later]
    forms = ["T6"] if not between else []
    if answer.move.verb not in {event.move.verb for event in between}:
        forms.append("T5")
    if answer.move.object == condition.move.object not in {event.move.object for event in between}:
        forms.append("T2")
    for form in forms:
        yield Case(f"Feasibility_{form}", answer, condition, (), clip, answer.end)
    if not between:
        end = answer.start + (answer.end - answer.start) // 4
        start = max(clip[0], min(condition.start, end - _SHORTEST))
        for number in (1, 2, 3, 4):
            yield Case(f"Prediction_T{number}", answer, condition, (), (start, end), answer.end)


def _others(script: Plan, event: Event, until: int, clip: tuple[int, int]) -> Iterator[Case]:
    """List which other objects of the room could be used as the event's was."""
    verb, done = event.move
    for name in USES[verb]:
        if name != done and name in script.room.homes:
            answer = event._replace(move=Move(verb, name))
            yield Case("Feasibility_T1", answer, event, (), clip, until)


def _widen(script: Plan, place: int) -> tuple[int, int]:
    """Give an event's frames, widened to three seconds within the quiet time on both sides of it."""
    events = script.events
    start, end = events[place].start, events[place].end
    low = events[place - 1].end if place else 0
    high = events[place + 1].start if place + 1 < len(events) else script.frames
    missing = max(0, _SHORTEST - (end - start))
    start = max(low, start - (missing + 1) // 2)
    end = min(high, max(end, start + _SHORTEST))
    return max(low, min(start, end - _SHORTEST)), end
