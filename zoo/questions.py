"""Questions to learn planning from, each with the reply that is wanted: the grammar's program, or a refusal.

Training questions are put together from the world's forms and STAR's words, without episodes; those that
measure are asked of episodes of another split. About a sixth of the pairs of a verb and an object are kept
from training: no question and no option has them.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from aotd.agent.grammar import read_question
from aotd.agent.star_programs import Reading, star_program
from aotd.traces.records import Question
from aotd.traces.star_phrases import inflect, parse_phrase, relation_phrase
from aotd.traces.star_vocabulary import ACTIONS, OBJECT_NAMES, RELATION_NAMES, Action, action_id
from aotd.world.annotate import ask
from aotd.world.motion import simulate
from aotd.world.scene import CARRIED, USES
from aotd.world.split import Split, seed_of
from aotd.world.templates import TEMPLATES, Relation, Wording
from aotd.zoo.other_questions import other_question, with_unknown_word
from aotd.zoo.reword import reword

__all__ = [
    "REFUSAL",
    "Lesson",
    "asked_of_world",
    "draw_lessons",
    "kept_out",
    "lessons_to_measure",
    "pairs_of",
    "refused",
    "reworded",
]

REFUSAL: Final = "This planner knows questions about its household only."
"""The reply to any other question: no program, which a run records as such."""

_KEPT_OUT: Final = 6
"""Of so many pairs one is kept out, of verbs with several objects."""
_SEVERAL: Final = 4

_REFUSED: Final = 0.15
_OWN_WORDS: Final = 0.3
_OPEN: Final = 0.1
"""How often a question is refused, is in STAR's own words, has no options."""
_OF_WORLD: Final = 0.75
"""How often a move is one of the world's."""

_SLOTS: Final = {form: max(1, template.question.count("{")) for form, template in TEMPLATES.items()}
"""How often a form is drawn: as often as it has slots to be told apart."""
_WORLD: Final = frozenset(action_id(verb, name) for verb, names in USES.items() for name in names)
_STATES: Final = tuple(
    (relation, name)
    for relation in RELATION_NAMES
    for name in OBJECT_NAMES
    if name != "person" and relation != "have_it_on_the_back"
)
_WORLD_STATES: Final = (
    *((r, name) for r in ("holding", "touching", "near", "on_the_side_of") for name in CARRIED),
    *(("lying_on", name) for name in USES["lie"]),
    *(("sitting_on", name) for name in USES["sit"]),
    ("leaning_on", "table"),
)


class Lesson(NamedTuple):
    """A question, and the reply that is wanted."""

    question: Question
    reply: str
    reading: Reading | None
    """What is asked; None for a question that is refused."""


def kept_out(verb: str, obj: str) -> bool:
    """Tell whether a verb, or a relation's, with an object is kept from training."""
    several = sum((a.verb, a.obj) != (verb, obj) and a.verb == verb for a in ACTIONS) >= _SEVERAL - 1
    known = any(a.verb == verb for a in ACTIONS)
    return (several or not known) and zlib.crc32(f"{verb} {obj}".encode()) % _KEPT_OUT == 0


def pairs_of(reading: Reading) -> tuple[tuple[str, str], ...]:
    """List the pairs that a question names: its condition's and its relations'."""
    event = ((reading.event.verb, reading.event.obj),)
    states = ((_verb_of(text), parse_phrase(text).obj) for text in reading.states)
    return tuple((verb, obj) for verb, obj in (*event, *states) if verb and obj)


def _verb_of(state: str) -> str:
    phrase = parse_phrase(state)
    return phrase.verb or phrase.relation or ""


def _draw_lesson(rng: random.Random) -> Lesson:
    """Put together a question to train with."""
    form = rng.choices(list(_SLOTS), list(_SLOTS.values()))[0]
    text, options = _original(form, rng), _options(form, rng)
    reading = _read(text)._replace(options=options is not None)
    if rng.random() < _REFUSED:
        return refused(Lesson(_question(text, options), "", reading), "train", rng)
    if rng.random() >= _OWN_WORDS:
        text = _roughened(reword(reading, "train", rng), rng)
    return Lesson(_question(text, options), _reply(reading), reading)


def draw_lessons(seed: str, count: int) -> list[Lesson]:
    """Put together some questions to train with, always the same ones for a seed."""
    rng = random.Random(seed)  # noqa: S311 (no secret)
    return [_draw_lesson(rng) for _ in range(count)]


def refused(lesson: Lesson, split: Split, rng: random.Random) -> Lesson:
    """Turn a lesson into one about a question that is to be refused; the options stay.

    Half of them ask the same with a word that the household does not know, half ask something else.
    """
    reading = lesson.reading
    if reading and reading.template != "Prediction_T1" and rng.random() < 0.5:
        text = reword(with_unknown_word(reading, split, rng), split, rng)
    else:
        text = other_question(split, rng)
    return Lesson(_question(text, lesson.question.options), REFUSAL, None)


def asked_of_world(split: Split, first: int, episodes: int) -> Iterator[Lesson]:
    """Ask what the world asks of some episodes of a split, in STAR's own words."""
    for record in ask(simulate(seed_of(split, number)) for number in range(first, first + episodes)):
        options = tuple(choice["choice"] for choice in record["choices"])
        reading = _read(record["question"])
        yield Lesson(_question(record["question"], options), _reply(reading), reading)


def reworded(lesson: Lesson, split: Split, rng: random.Random) -> Lesson:
    """Word a lesson's question anew; the reply stays.

    Raises
    ------
    ValueError
        If the question is one to refuse.
    """
    if lesson.reading is None:
        raise ValueError(f"{lesson.question.text!r}: only a question of STAR's forms can be reworded")
    text = reword(lesson.reading, split, rng)
    return lesson._replace(question=_question(text, lesson.question.options))


def lessons_to_measure(split: Split, most: int) -> dict[str, list[Lesson]]:
    """Gather lessons of a split that is not trained with, up to `most` of each kind.

    Returns
    -------
    dict
        `asked` as the world asks; `unseen_pairs`, of these the ones that name a pair which is kept from
        training; `reworded` in the split's sentences; `refused`.
    """
    rng = random.Random(0)  # noqa: S311 (no secret)
    asked = list(asked_of_world(split, 0, 2 * most))
    rng.shuffle(asked)
    unseen = [a for a in asked if a.reading and any(kept_out(*pair) for pair in pairs_of(a.reading))]
    return {
        "asked": asked[:most],
        "unseen_pairs": unseen[:most],
        "reworded": [reworded(lesson, split, rng) for lesson in asked[-most:]],
        "refused": [refused(lesson, split, rng) for lesson in asked[-most:]],
    }


def _read(text: str) -> Reading:
    reading = read_question(text)
    if reading is None:
        raise ValueError(f"{text!r}: the grammar does not read it; mend the world's forms")
    return reading


def _reply(reading: Reading) -> str:
    return f"```python\n{star_program(reading)}```"


def _question(text: str, options: tuple[str, ...] | None) -> Question:
    return Question(id="q", dataset="star", video_id="v", text=text, options=options)


def _original(form: str, rng: random.Random) -> str:
    """Ask in STAR's own words about moves and states that training may have."""
    asked, condition = _draw_action(rng, by_verb=True), _draw_action(rng, by_verb=rng.random() < 0.5)
    states = [Relation(*state, relation_phrase(*state)) for state in (_draw_state(rng), _draw_state(rng))]
    alike = rng.random()
    if alike < 0.2:  # both about one object
        condition = next((a for a in _ALLOWED if a.verb == condition.verb and a.obj == asked.obj), condition)
    elif alike < 0.4:  # the same done twice
        condition = rng.choice([a for a in _ALLOWED if a.verb == asked.verb])
    return TEMPLATES[form].question.format(a=_words(asked), c=_words(condition), r=states)


def _draw_action(rng: random.Random, *, by_verb: bool) -> Action:
    """Choose an action: any is as likely, or any verb is."""
    among = _WORLD_ALLOWED if rng.random() < _OF_WORLD else _ALLOWED
    if by_verb:
        verb = rng.choice(sorted({(a.verb, a.particle) for a in among}))
        among = [a for a in among if (a.verb, a.particle) == verb]
    return rng.choice(among)


def _draw_state(rng: random.Random) -> tuple[str, str]:
    while True:
        state = rng.choice(_WORLD_STATES if rng.random() < _OF_WORLD else _STATES)
        if not kept_out(_verb_of(relation_phrase(*state)), state[1]):
            return state


def _options(form: str, rng: random.Random) -> tuple[str, ...] | None:
    """Offer four moves, or now and then none."""
    if rng.random() < _OPEN:
        return None
    option = TEMPLATES[form].option.text
    texts = dict.fromkeys(option.format(o=_words(_draw_action(rng, by_verb=False))) for _ in range(4))
    return tuple(text[:1].upper() + text[1:] for text in texts)


def _words(action: Action) -> Wording:
    forms = (inflect(action.verb, form) for form in ("base", "past", "gerund", "participle"))
    return Wording(action.verb, action.obj, *(f"{form} {action.particle}".strip() for form in forms))


def _roughened(text: str, rng: random.Random) -> str:
    """Write as people type, now and then: no capital, no question mark."""
    if rng.random() < 0.1:
        text = text[:1].lower() + text[1:]
    return text.rstrip("?") if rng.random() < 0.1 else text


_ALLOWED: Final = [a for a in ACTIONS if not kept_out(a.verb, a.obj)]
_WORLD_ALLOWED: Final = [a for a in _ALLOWED if a.id in _WORLD]
