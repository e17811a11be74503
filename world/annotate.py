"""STAR records of the household: keyframe graphs, questions in STAR's words, their programs and options.

Every question has one right option under its own STAR program. All four options are uses that STAR has of
objects of the room, except where STAR asks which other object there is (Feasibility_T1): there wrong options
are not in the room, or were used already. Options leave out the objects that the question's condition names.
Source of the record: STAR (NeurIPS 2021 Datasets and Benchmarks). Nothing is rendered or written here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

from aotd.traces.star_phrases import relation_phrase
from aotd.traces.star_vocabulary import object_id, relation_id
from aotd.world.cases import Case, cases, placed_cases
from aotd.world.motion import PERSON, Episode, boxes
from aotd.world.options import choose_wrong
from aotd.world.scene import FPS, USES, Move, source
from aotd.world.templates import TEMPLATES, Relation, action, program, words

__all__ = ["ask", "situations", "video_id"]

_KEYFRAME_STEP: Final = 4


def video_id(seed: int) -> str:
    """Name the video of a seed: five characters, as STAR's are."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return "W" + "".join(digits[seed // 36**place % 36] for place in (3, 2, 1, 0))


def ask(episodes: Iterable[Episode], *, seed: int = 0) -> list[dict[str, Any]]:
    """Write the questions of some episodes: of each template at most one per episode.

    Parameters
    ----------
    episodes : Iterable[Episode]
        In the order of the file. Which questions an episode gets depends on it alone.
    seed : int
        Decides the options' positions.

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
    """Writes the records of one file: counts ids, and positions so that none is favoured."""

    def __init__(self, seed: int) -> None:
        self.rng = source(seed)
        self.asked: Counter[str] = Counter()
        self.places: dict[str, list[int]] = defaultdict(list)

    def records(self, episode: Episode) -> Iterator[dict[str, Any]]:
        """Write the questions of one episode, in the order of the templates."""
        graph = situations(episode)
        by_template: dict[str, list[Case]] = defaultdict(list)
        for case in (*cases(episode.plan), *placed_cases(episode)):
            if _fits(case, case.answer.move):
                by_template[case.template].append(case)
        rng = source(episode.plan.seed)
        for template in TEMPLATES:
            found = by_template[template]
            for case in rng.sample(found, len(found)):
                if wrong := choose_wrong(case, _pool(case, episode), rng):
                    rng.shuffle(wrong)
                    yield self._record(case, wrong, episode, graph)
                    break

    def _record(
        self, case: Case, wrong: list[Move], episode: Episode, graph: dict[int, dict[str, Any]]
    ) -> dict[str, Any]:
        """Write one record."""
        form = TEMPLATES[case.template]
        place = self._place(case.template)
        options = [*wrong[:place], case.answer.move, *wrong[place:]]
        self.asked[case.template] += 1
        said = {
            "a": words(case.answer.move),
            "c": words((case.condition or case.answer).move),
            "r": [Relation(*state, relation_phrase(*state)) for state in case.states],
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


def _pool(case: Case, episode: Episode) -> list[Move]:
    """List the moves that would make a wrong option, one for each wording."""
    events, answer = episode.plan.events, case.answer.move
    eaten = {e.move.object for e in events if e.move.verb == "eat" and e.end <= case.clip[0]}
    there = episode.plan.room.homes.keys() - eaten
    if case.template == "Feasibility_T1":
        used = case.condition.move.object if case.condition else ""
        return [Move(answer.verb, n) for n in USES[answer.verb] if n not in there or n == used]
    first, last = case.clip[0], case.until
    done = {event.move for event in events if event.start < last and event.end > first}
    shown = done if case.template in {"Feasibility_T3", "Feasibility_T4"} else {answer}
    moves = (Move(verb, name) for verb, names in USES.items() for name in names if name in there)
    return [move for move in moves if move not in shown and _fits(case, move)]


def _fits(case: Case, move: Move) -> bool:
    """Tell whether a move may be an option of a question."""
    form, answer = TEMPLATES[case.template], case.answer.move
    if form.asks_verb or case.template == "Feasibility_T2":
        return move.object == answer.object
    if form.asks_object and move.verb != answer.verb:
        return False
    return move.object not in case.told


def _text(case: Case, move: Move) -> str:
    """Give the text of an option."""
    text = TEMPLATES[case.template].option.text.format(o=words(move))
    return text[:1].upper() + text[1:]


def _object(name: str) -> str:
    """Give the STAR id of an object."""
    return _known(object_id(name), name)


def _known(found: str | None, name: str) -> str:
    """Insist that the world speaks STAR's words."""
    if found is None:
        raise ValueError(f"{name}: no such word in STAR's vocabulary; change the world's tables")
    return found
