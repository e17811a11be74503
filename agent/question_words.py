"""Word lists for reading questions of any wording: closed, and no longer than the rules need.

Facts only; `aotd.agent.question_forms` says how they are used.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ADJECTIVES",
    "ARTICLES",
    "AUXILIARIES",
    "FACETS",
    "FOLLOWING",
    "GARMENTS",
    "LINKS",
    "NOT_GERUNDS",
    "NOUNS",
    "PLURAL_MARKS",
    "PRONOUNS",
    "SINGULARS",
    "STATES",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ARTICLES: Final = _words(
    """
    a all an another any both each every four her his its other our some that the their these this those three
    two your
    """
)
PLURAL_MARKS: Final = _words("all both four these those three two")
PRONOUNS: Final = _words("everyone he i it one she someone somebody there they we who you")
AUXILIARIES: Final = _words("are can could did do does had has have is should was were will would")

NOUNS: Final = _words(
    """
    adult animal athlete audience baby bear bird boy bride cameraman car cat child coach couple
    crowd cyclist dancer dog driver elephant female girl guitarist guy horse human kid kitten lady man
    monkey mother father performer person player puppy rider singer skater skier toddler toy woman
    """
)
"""Nouns that end a noun phrase, whatever stands before them."""

SINGULARS: Final = {"children": "child", "men": "man", "people": "person", "women": "woman"}
"""Irregular plurals."""

ADJECTIVES: Final = _words(
    """
    bald big biggest black blonde blue brown dark different elderly fair first golden green grey huge large
    last left light little long main middle nearest old older oldest orange pink polar purple red right
    second short shorter shortest shirtless small smaller smallest striped tall taller tallest white
    yellow young younger youngest
    """
)

FACETS: Final = _words(
    """
    activity age atmosphere brand color colour design direction event expression feeling focus
    gender kind mood name number occasion part profession purpose reaction reason relation
    relationship response role season setting shape side size sport theme type video weather
    """
)
"""Nouns for a side of something, which is told behind "of", "between" or "to"; none of them can be seen."""

GARMENTS: Final = _words(
    """
    blouse cap clothes clothing coat dress glasses hat helmet hoodie jacket jeans overall overalls pants
    shirt shorts singlet skirt sleeves spectacles suit sweater swimsuit top trousers uniform vest
    """
)

LINKS: Final = _words(
    """
    above across also and around at before behind beside between by carrying for from holding in inside
    into near of on opposite or outside over sitting standing that then to under wearing who with
    without
    """
)
"""Words behind a noun phrase that belong to it, or are at least not its verb."""

STATES: Final = _words("appear feel know look react respond seem")
"""Verbs whose how is a state, which no moment shows better than another."""

FOLLOWING: Final = _words("chase chased chases chasing look looking ran run running runs")
"""Verbs of which "after" is a part."""

NOT_GERUNDS: Final = _words(
    "bring cling evening king morning nothing ring sing something spring sting string swing thing wing"
)
