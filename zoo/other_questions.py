"""Questions that the household's planner is to refuse: about what it does not know, and of other kinds.

The first are questions of the household with one word swapped for another; the others ask why, how, how many
or where, or about someone else. Words and sentences of one split are not those of another. Does not word the
first ones (`reword.py` does).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final, TypeVar

from aotd.agent.star_programs import Reading
from aotd.traces.star_phrases import parse_phrase
from aotd.world.split import SPLITS, Split

__all__ = ["other_question", "with_unknown_word"]

_THINGS: Final = """
    ball guitar bicycle car tree cake camel drum kite boat ladder bucket candle umbrella lamp wallet
    stick rope stone flower leaf fish toy doll train helmet hat glove scarf ring knife fork spoon plate
    pan hammer nail saw brush comb soap slide pool stage microphone opener shovel trolley stroller
    balloon present card game puzzle statue fountain bridge truck bus wheel engine fence gate carpet
    curtain clock vase plant pot kettle oven stove sink toothbrush remote keyboard mouse screen violin
    trumpet racket net goal skateboard tent backpack suitcase wagon basket tray piano dog
"""
_VERBS: Final = """
    kick push pull lift repair paint climb polish fold fix move hide cook fill examine kiss chase fetch
    measure borrow sharpen peel crack weigh squeeze tickle scratch bounce iron water
"""
_SOMEONE: Final = (
    *("the boy", "the girl", "the baby", "the dog", "the cat", "the lady", "the children", "the kids"),
    *("the white dog", "the old man in black", "the man in white", "the girl in pink", "two men", "the bird"),
    *(
        "the woman in the middle",
        "the black cat",
        "the people",
        "the babies",
        "the singer",
        "the man cycling",
    ),
    *("the lady with a hat", "the player in red", "the adult", "the toddler", "the dancer", "the driver"),
    *("the boy in blue shirt", "the man on the left", "the horse", "the audience", "the child in green"),
)
_DEEDS: Final = tuple(
    tuple(row.split(", "))
    for row in (
        "run to the *, ran to the *, running to the *",
        "jump over the *, jumped over the *, jumping over the *",
        "dance, danced, dancing",
        "play with the *, played with the *, playing with the *",
        "cry, cried, crying",
        "laugh at the *, laughed at the *, laughing at the *",
        "kick the *, kicked the *, kicking the *",
        "push the *, pushed the *, pushing the *",
        "point at the *, pointed at the *, pointing at the *",
        "ride the *, rode the *, riding the *",
        "fall down, fell down, falling down",
        "turn around, turned around, turning around",
        "pick up the *, picked up the *, picking up the *",
        "put down the *, put down the *, putting down the *",
        "hold the *, held the *, holding the *",
        "throw the *, threw the *, throwing the *",
        "touch the *, touched the *, touching the *",
        "clap hands, clapped hands, clapping hands",
        "wave, waved, waving",
        "smile, smiled, smiling",
        "sing, sang, singing",
        "walk away, walked away, walking away",
        "move backwards, moved backwards, moving backwards",
        "climb the *, climbed the *, climbing the *",
        "cut the *, cut the *, cutting the *",
        "cook, cooked, cooking",
        "swing the *, swung the *, swinging the *",
        "shake hands, shook hands, shaking hands",
        "bend down, bent down, bending down",
        "swim, swam, swimming",
    )
)
"""What is done with `*`, as "do", "did" and "doing"."""
_SENTENCES: Final = (
    *("why did {s} {b}", "how did {s} {b}", "what does {s} do after {g}", "how many {t}s are there"),
    *("why is {s} {g}", "where is this video taken", "what did {s} do when {s2} {p}", "is {s} {g}"),
    *("how many people are {g} in the video", "what is the relationship between {s} and {s2}"),
    *("why did {s} {b} before {g}", "what does {s} do before {g} near the end", "where did {s} {b}"),
    *("how did {s} react after {s2} {p}", "what colour is the {t}", "what did {s} do after {p}"),
    *("what is {s} doing", "where is the {t} placed", "what happened to {s} after {g}", "who {p}"),
    *("how does {s} {b} in the video", "what did {s} do while {s2} was {g}", "when did {s} {b}"),
    *("why does {s} {b} when {s2} {p}", "what is {s} holding", "what did {s} do as the person {p}"),
    *("how many times did {s} {b}", "what are {s} doing at the beginning of the video", "does {s} {b}"),
    *("why are there many {t}s in this video", "what is in front of {s}", "what animal is {g}"),
    *("where is this happening", "what does {s} do after {g} at the start", "what is {s} wearing"),
    *("what is the weather like", "how many {t}s did the person use", "who is {g} beside {s}"),
    *("what is the video about", "what happens after {s} {p}", "did {s} {b} with the {t}"),
    *("is the {t} on the table", "what instrument does {s} play", "describe the video"),
)

_SYLLABLES: Final = (
    *("ba", "bro", "ca", "cle", "da", "dle", "en", "er", "fa", "fli", "ga", "gle", "hi", "ing", "ka", "lo"),
    *("ma", "mer", "na", "nu", "ot", "pan", "per", "pi", "qua", "ra", "rem", "sa", "ska", "ter", "ti", "tro"),
    *("um", "va", "ver", "wa", "wi", "ya", "zo", "zle"),
)

_T = TypeVar("_T")


def with_unknown_word(reading: Reading, split: Split, rng: random.Random) -> Reading:
    """Swap a verb or an object that a question names for one that the household does not know.

    Raises
    ------
    ValueError
        If the question names none.
    """
    thing, verb = (_unknown(words.split(), split, rng) for words in (_THINGS, _VERBS))
    swaps = []
    for name in ("asked", "event"):
        phrase = getattr(reading, name)
        if phrase.obj:
            swaps.append({name: phrase._replace(obj=thing)})
        if phrase.verb:
            swaps.append({name: phrase._replace(verb=verb, particle="")})
    for place, state in enumerate(reading.states):
        swapped = state.replace(parse_phrase(state).obj or "", thing)
        swaps.append({"states": (*reading.states[:place], swapped, *reading.states[place + 1 :])})
    if not swaps:
        raise ValueError(f"{reading.template}: names neither a verb nor an object")
    return reading._replace(**rng.choice(swaps))


def other_question(split: Split, rng: random.Random) -> str:
    """Ask a question of another kind."""
    deed = rng.choice(_of(_DEEDS, split))
    base, past, gerund = (form.replace("*", _pick(_THINGS.split(), split, rng)) for form in deed)
    someone, another = rng.sample(_of(_SOMEONE, split), 2)
    sentence = _pick(_SENTENCES, split, rng)
    text = sentence.format(
        s=someone, s2=another, b=base, p=past, g=gerund, t=_pick(_THINGS.split(), split, rng)
    )
    text = text[:1].upper() + text[1:] if rng.random() < 0.5 else text
    return f"{text}?" if rng.random() < 0.5 else text


def _unknown(words: Sequence[str], split: Split, rng: random.Random) -> str:
    """Choose a word; in training as often make one up, so that it is not some words that are unknown."""
    if split == "train" and rng.random() < 0.5:
        return "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(1, 3)))
    return _pick(words, split, rng)


def _pick(words: Sequence[_T], split: Split, rng: random.Random) -> _T:
    return rng.choice(_of(words, split))


def _of(words: Sequence[_T], split: Split) -> Sequence[_T]:
    """Give a split's part: of six words four are for training."""
    place = SPLITS.index(split)
    return [word for number, word in enumerate(words) if max(0, number % 6 - 3) == place]
