"""STAR records of the household: keyframe graphs, questions in STAR's words, their programs and options.

Every question has one right option under its own STAR program, and all four options name objects of the
room in uses that STAR has. So that no option gives itself away, wrong options are taken from what the person
could have done at that moment (in Feasibility: could not), a text is offered as a wrong option about three
times for each time it is the right one, and options leave out the object of the event that the question
tells. Source of the record: STAR (NeurIPS 2021 Datasets and Benchmarks). Nothing is rendered or written here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from aotd.traces.star_phrases import relation_phrase
from aotd.traces.star_vocabulary import object_id, relation_id
from aotd.world.motion import PERSON, Episode, boxes
from aotd.world.scene import FPS, USES, Event, Move, source
from aotd.world.templates import TEMPLATES, Relation, action, program, words

__all__ = ["ask", "situations", "video_id"]

_KEYFRAME_STEP: Final = 4
_SHORTEST: Final = 3 * FPS
"""Frames that a clip has at least; STAR's shortest clips are three seconds."""
_SLACK: Final = 5
"""A question is left out when its answer's text is due this much more often as a wrong option."""


class _Case(NamedTuple):
    """A question that could be asked: whose answer, under what condition, on which frames.

    Attributes
    ----------
    template : str
    answer : Event
    condition : Event or None
    relation : tuple[str, str] or None
    clip : tuple[int, int]
        Frames [start, end) that are seen.
    until : int
        Frame at which the graph ends; after the clip's end where the answer lies in the future.
    """

    template: str
    answer: Event
    condition: Event | None
    relation: tuple[str, str] | None
    clip: tuple[int, int]
    until: int


def video_id(seed: int) -> str:
    """Name the video of a seed: five characters, as STAR's are."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return "W" + "".join(digits[seed // 36**place % 36] for place in (3, 2, 1, 0))


def ask(episodes: Iterable[Episode], *, seed: int = 0) -> list[dict[str, Any]]:
    """Write the questions of some episodes: of each template at most one per episode.

    Parameters
    ----------
    episodes : Iterable[Episode]
        In the order of the file; earlier ones influence which options later ones get.
    seed : int
        Decides ties between equally good options, and positions.

    Returns
    -------
    list[dict]
        Records of STAR's release schema; question ids are unique in the list.
    """
    desk = _Desk(seed)
    return [record for episode in episodes for record in desk.records(episode)]


def situations(episode: Episode) -> dict[int, dict[str, Any]]:
    """Give the graph of every fourth frame by frame number, which counts from 1."""
    graph: dict[int, dict[str, Any]] = {}
    for index in range(0, len(episode.frames), _KEYFRAME_STEP):
        found = boxes(episode, index)
        relations = episode.frames[index].relations
        graph[index + 1] = {
            "rel_pairs": [[_object(PERSON), _object(name)] for _, name in relations],
            "rel_labels": [_known(relation_id(relation), relation) for relation, _ in relations],
            "actions": [action(e.move) for e in episode.plan.events if e.start <= index < e.end],
            "bbox": [list(box) for box in found.values()],
            "bbox_labels": [_object(name) for name in found],
        }
    return graph


class _Desk:
    """Writes the records of one file: counts ids, options and positions so that none is favoured."""

    def __init__(self, seed: int) -> None:
        self.rng = source(seed)
        self.asked: Counter[str] = Counter()
        self.due: dict[str, Counter[str]] = defaultdict(Counter)
        """By template and option text: three times as often right, less how often offered while wrong."""
        self.places: dict[str, list[int]] = defaultdict(list)

    def records(self, episode: Episode) -> Iterator[dict[str, Any]]:
        """Write the questions of one episode, in the order of the templates."""
        graph = situations(episode)
        by_template: dict[str, list[_Case]] = defaultdict(list)
        for case in _cases(episode):
            by_template[case.template].append(case)
        for template in TEMPLATES:
            due = self.due[template]
            offers = [
                (case, wrong)
                for case in by_template[template]
                if due[_option(case)] < _SLACK
                and _comparable(case, case.answer.move)
                and (wrong := self._wrong(case, episode))
            ]
            if offers:
                case, wrong = min(offers, key=lambda offer: (due[_option(offer[0])], self.rng.random()))
                yield self._record(case, wrong, episode, graph)

    def _wrong(self, case: _Case, episode: Episode) -> list[Move]:
        """Choose three wrong options; none if the room does not offer three."""
        homes, due = episode.plan.room.homes, self.due[case.template]
        possible = not case.template.startswith("Feasibility")
        pool: dict[str, tuple[bool, int, float, Move]] = {}
        for move in (Move(verb, name) for verb, names in USES.items() for name in names if name in homes):
            text = _text(case, move)
            if text != _option(case) and _comparable(case, move):
                odd = (move in case.answer.legal) != possible
                pool[text] = (odd, -due[text], self.rng.random(), move)
        best = sorted(pool.values())[:3]
        return [move for *_, move in best] if len(best) == 3 else []

    def _record(
        self, case: _Case, wrong: list[Move], episode: Episode, graph: dict[int, dict[str, Any]]
    ) -> dict[str, Any]:
        """Write one record and remember what was offered."""
        form = TEMPLATES[case.template]
        place = self._place(case.template)
        options = [*wrong[:place], case.answer.move, *wrong[place:]]
        self.due[case.template].subtract(_text(case, move) for move in wrong)
        self.due[case.template][_option(case)] += 3
        self.asked[case.template] += 1
        said = {
            "a": words(case.answer.move),
            "c": words((case.condition or case.answer).move),
            "r": Relation(*case.relation, relation_phrase(*case.relation)) if case.relation else None,
        }
        first, last = case.clip
        return {
            "question_id": f"{case.template}_{self.asked[case.template]}",
            "question": form.question.format(**said),
            "video_id": video_id(episode.plan.seed),
            "start": first / FPS,
            "end": last / FPS,
            "answer": _text(case, case.answer.move),
            "question_program": program(form.program.format(**said)),
            "choices": [
                {
                    "choice_id": number,
                    "choice": _text(case, move),
                    "choice_program": program(form.option.check.format(o=words(move))),
                }
                for number, move in enumerate(options)
            ],
            "situations": {
                f"{number:06d}": facts for number, facts in graph.items() if first < number <= case.until
            },
        }

    def _place(self, template: str) -> int:
        """Give the right option's position; of four questions in a row each position has one."""
        if not self.places[template]:
            self.places[template] = self.rng.sample(range(4), 4)
        return self.places[template].pop()


def _cases(episode: Episode) -> Iterator[_Case]:
    """List every question that an episode could be asked."""
    events = episode.plan.events
    for place, event in enumerate(events):
        clip = _widen(episode, place)
        for template in ("Interaction_T1", "Interaction_T2"):
            yield _Case(template, event, None, None, clip, clip[1])
        for relation in _meanwhile(episode, event):
            yield _Case("Interaction_T3", event, None, relation, clip, clip[1])
        for later in range(place + 1, len(events)):
            yield from _sequences(events, place, later)
            yield from _futures(episode, place, later, clip)


def _sequences(events: tuple[Event, ...], first: int, second: int) -> Iterator[_Case]:
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
        yield _Case(f"Sequence_T{number}", answer, condition, None, (one.start, two.end), two.end)


def _futures(episode: Episode, first: int, later: int, clip: tuple[int, int]) -> Iterator[_Case]:
    """List the Prediction and Feasibility questions whose answer is a later event."""
    events = episode.plan.events
    condition, answer = events[first], events[later]
    between = events[first + 1 : later]
    forms = ["T6"] if not between else []
    if answer.move.verb not in {event.move.verb for event in between}:
        forms.append("T5")
    if answer.move.object == condition.move.object not in {event.move.object for event in between}:
        forms.append("T2")
    for form in forms:
        yield _Case(f"Feasibility_{form}", answer, condition, None, clip, answer.end)
    if not between:
        end = answer.start + (answer.end - answer.start) // 4
        start = max(clip[0], min(condition.start, end - _SHORTEST))
        for number in (1, 2, 3, 4):
            yield _Case(f"Prediction_T{number}", answer, condition, None, (start, end), answer.end)


def _widen(episode: Episode, place: int) -> tuple[int, int]:
    """Give an event's frames, widened to three seconds within the quiet time on both sides of it."""
    events = episode.plan.events
    start, end = events[place].start, events[place].end
    low = events[place - 1].end if place else 0
    high = events[place + 1].start if place + 1 < len(events) else len(episode.frames)
    missing = max(0, _SHORTEST - (end - start))
    start = max(low, start - (missing + 1) // 2)
    end = min(high, max(end, start + _SHORTEST))
    return max(low, min(start, end - _SHORTEST)), end


def _meanwhile(episode: Episode, event: Event) -> Iterator[tuple[str, str]]:
    """List what the person does throughout an event beside it: holding or sitting, on another object."""
    frames = episode.frames[event.start : event.end]
    for relation, name in frames[0].relations:
        throughout = all((relation, name) in frame.relations for frame in frames)
        if throughout and relation in {"holding", "sitting_on"} and name != event.move.object:
            yield relation, name


def _comparable(case: _Case, move: Move) -> bool:
    """Tell whether a move may be an option: it fits the question, which does not tell its object."""
    form, answer = TEMPLATES[case.template], case.answer.move
    if form.asks_verb or case.template == "Feasibility_T2":
        return move.object == answer.object
    told = case.relation[1] if case.relation else ""
    if case.condition and form.tells_condition:
        told = case.condition.move.object
    return move.object != told and not (form.asks_object and move.verb != answer.verb)


def _text(case: _Case, move: Move) -> str:
    """Give the text of an option."""
    text = TEMPLATES[case.template].option.text.format(o=words(move))
    return text[:1].upper() + text[1:]


def _option(case: _Case) -> str:
    """Give the text of the right option."""
    return _text(case, case.answer.move)


def _object(name: str) -> str:
    """Give the STAR id of an object."""
    return _known(object_id(name), name)


def _known(found: str | None, name: str) -> str:
    """Insist that the world speaks STAR's words."""
    if found is None:
        raise ValueError(f"{name}: no such word in STAR's vocabulary; change the world's tables")
    return found
