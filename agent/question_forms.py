"""What a question of any wording asks: its form, when it is about, and whom or what to look at.

A table of forms is tried from the top; clauses of time ("after he fell", "at the end of the video") are
parted from the rest, and the noun phrase behind the first auxiliary is the subject. This is no parser: a noun
phrase ends at a noun of a small list or else with its first noun, and a field stays empty where the rules say
nothing. STAR's templates are read elsewhere (`aotd.agent.grammar`); no program is written here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from aotd.agent import question_words as words_of

__all__ = ["Asked", "Clause", "Form", "Relation", "Section", "read_question", "singular"]

Form = Literal[
    "times", "count", "presence", "place", "cause", "manner", "moment", "yes-no", "action", "person", "other"
]
Relation = Literal["after", "before", "during"]
Section = Literal["start", "middle", "end"]


class Clause(NamedTuple):
    """A condition in time."""

    relation: Relation
    event: str
    """A statement: "the girl is opening the gate"."""


class Asked(NamedTuple):
    """A question, read. Texts are the question's own words, and empty where it has none."""

    form: Form
    clause: Clause | None
    section: Section | None
    """The section of the video that it names."""
    subject: str
    """Whom or what it is about, without an article: "lady in black"."""
    act: str
    """What the subject does, when the question is why or how: "the lady in black opens the gate"."""
    thing: str
    """What is counted or looked for."""
    narrowed: bool
    """Only those of the counted things are meant that do or have something."""


_FORMS: Final[tuple[tuple[Form, str], ...]] = (
    ("times", r"how (?:many times|often)\b.*"),
    (
        "count",
        r"how many (?:of )?(?:the |these |those )?(?P<thing>.+?)"
        r"(?P<rest> (?:are|can|could|did|do|does|had|has|have|in|is|of|on|was|were)\b.*)?",
    ),
    ("presence", r"(?:are|is|was|were) there (?:any |some |the |an? )?(?P<thing>.+)"),
    ("place", r"where\b.*"),
    ("cause", r"why\b.*|what (?:are|is|was|were) the (?:purpose|reason)\b.*"),
    ("other", r"how (?:big|do you|far|fast|heavy|high|long|much|old|tall)\b.*"),
    ("manner", r"how\b.*"),
    ("moment", r"when\b.*"),
    ("yes-no", r"(?:are|can|could|did|do|does|had|has|have|is|should|was|were|will|would)\b.*"),
    ("action", r"what (?:happen(?:s|ed|ing)?|(?:are|did|do|does|is|was|were|will) .+ (?:do|doing))\b.*"),
    ("person", r"who(?:m|se)?\b.*"),
    ("other", r".*"),
)  # fmt: skip
"""The forms of questions; the first that fits wins, and the last fits all."""

_PLAIN_COUNT: Final = (
    r"(?: (?:are|can|could|is|was|were))?(?: there)?(?: be)?(?: you see)?"
    r"(?: (?:featured|filmed|found|involved|present|seen|shown|spotted|visible))?"
    r"(?: there)?(?: (?:at|in|on) .+)?"
)
"""What may follow a counted noun and narrow it to nothing but a place."""

_HERE: Final = re.compile(
    r" (?:from|in|of|on|throughout) (?:the |this )?(?:entire |whole )?(?:clip|scene|video)\b", re.IGNORECASE
)
"""Words that narrow nothing."""

_SECTIONS: Final[dict[str, Section]] = {"middle": "middle", "end": "end"}
_NAMED_SECTION: Final = re.compile(
    r" (after|at|around|before|by|from|in|near|nearing|on|to|towards?) (?:the )?"
    r"(start|beginning|middle|end)(?: part)? of (?:the |this )?(?:clip|scene|video)\b",
    re.IGNORECASE,
)
_LAST_SECTION: Final = re.compile(
    r" (?:(at|around|in|near|nearing|towards?) (?:the )?)?(start|beginning|middle|end|first|initially)$",
    re.IGNORECASE,
)

_NO_ACTORS: Final = frozenset(("not", "nt", "there", "you"))
"""Words behind an auxiliary, or behind the subject, with which no act is taken for granted."""

_CLAUSE_FIRST: Final = re.compile(
    r"(after|as|before|during|once|when|while) (?!(?:are|did|do|does|is|was|were|will)\b)"
    r"([^,]+?)(?:, *| (?=(?:how|what|where|which|who|why)\b))(.+)",
    re.IGNORECASE,
)
_CLAUSE_WORD: Final = re.compile(r" (after|as|before|during|once|when|whenever|while) ", re.IGNORECASE)
_AWHILE: Final = re.compile(r"^a ?while(?: of)?(?: |$)", re.IGNORECASE)


class _Subject(NamedTuple):
    """A noun phrase."""

    name: str = ""
    """Without its article."""
    phrase: str = ""
    plural: bool = False
    end: int = 0
    """Where the words behind it begin."""


def read_question(text: str) -> Asked:
    """Read a question; every text has a form."""
    plain, section = _without_section(" ".join(text.split()).rstrip("?\uff1f. "))
    main, clause_word, event = _parted(_HERE.sub("", plain))
    main, main_section = _without_section(main)
    form, slots = _form(main)
    words = main.split()
    behind = _behind_auxiliary(words)
    subject = _subject(words, behind)
    thing, narrowed = _counted(slots) if form == "count" else (slots.get("thing") or "", False)
    return Asked(
        form=form,
        clause=Clause(_relation(clause_word), _statement(event, subject)) if event else None,
        section=section or main_section,
        subject="" if form == "count" else subject.name,
        act=_act(words, behind, subject) if form in ("cause", "manner") else "",
        thing=thing,
        narrowed=narrowed,
    )


def singular(noun: str) -> str:
    """Put an irregular plural in the singular: "men in black" is found as "man in black"."""
    return " ".join(words_of.SINGULARS.get(word.lower(), word) for word in noun.split(" "))


def _form(main: str) -> tuple[Form, dict[str, str | None]]:
    """Find the first form that fits, and its slots."""
    for form, pattern in _FORMS:
        match = re.fullmatch(pattern, main, re.IGNORECASE | re.DOTALL)
        if match:
            return form, match.groupdict()
    raise AssertionError("the last form fits every text")


def _counted(slots: dict[str, str | None]) -> tuple[str, bool]:
    """Cut what is counted behind its noun; tell whether what follows narrows it."""
    thing, rest = slots["thing"] or "", slots["rest"] or ""
    words = thing.split(" ")
    nouns = (i for i, word in enumerate(words, 1) if _is_noun(word.lower()) or word.endswith("s"))
    end = next(nouns, len(words))
    narrowed = end < len(words) or re.fullmatch(_PLAIN_COUNT, rest, re.IGNORECASE) is None
    return " ".join(words[:end]), narrowed


def _without_section(text: str) -> tuple[str, Section | None]:
    """Take out the words that name a section of the video."""
    match = _NAMED_SECTION.search(text) or _LAST_SECTION.search(text)
    if match is None:
        return text, None
    link, name = (match[1] or "").lower(), match[2].lower()
    if not link and name != "initially":
        return text, None
    section = "end" if link == "after" else _SECTIONS.get(name, "start")
    return text[: match.start()] + text[match.end() :], section


def _parted(plain: str) -> tuple[str, str, str]:
    """Part a question into what it asks, and the word and the event of its clause of time, if it has one."""
    first = _CLAUSE_FIRST.fullmatch(plain)
    if first:
        return first[3], first[1].lower(), first[2]
    for match in _CLAUSE_WORD.finditer(plain):
        main, event = plain[: match.start()], _AWHILE.sub("", plain[match.end() :], count=1)
        before, after = main.rpartition(" ")[2].lower(), event.partition(" ")[0].lower()
        if event and _opens_clause(before, match[1].lower(), after):
            return main, match[1].lower(), event
    return plain, "", ""


def _opens_clause(before: str, word: str, after: str) -> bool:
    """Tell whether a word between two others begins a clause of time: not in "run after the ball"."""
    if word in ("as", "once"):
        opens = after in (words_of.ARTICLES | words_of.PRONOUNS) - {"a", "an"}
        return opens and (before, word) not in (("at", "once"), ("same", "as"))
    if word == "while":
        return before != "a"
    return not (word == "after" and before in words_of.FOLLOWING and not after.endswith("ing"))


def _relation(word: str) -> Relation:
    if word == "before":
        return "before"
    return "after" if word in ("after", "once") else "during"


def _behind_auxiliary(words: Sequence[str]) -> int:
    """Find where a subject may begin: behind the first auxiliary, but in "which dog is ..." before it."""
    low = [word.lower() for word in words[:6]]
    if low[:1] == ["which"] or low[:1] == ["whose"]:
        return 1
    if low[:1] == ["what"] and low[1:2] and low[1].startswith("happen"):
        return 3
    return next((i + 1 for i, word in enumerate(low) if word in words_of.AUXILIARIES), 1)


def _subject(words: Sequence[str], behind: int) -> _Subject:
    """Find the noun phrase that begins at a word; for a side of something, that something."""
    subject = _noun_phrase(words, behind)
    if subject.name.lower().rpartition(" ")[2] not in words_of.FACETS:
        return subject
    links = [i for i in range(subject.end, len(words)) if words[i].lower() in ("between", "of", "to")]
    return _noun_phrase(words, links[0] + 1) if links else _Subject()


def _noun_phrase(words: Sequence[str], begin: int) -> _Subject:
    """Read articles, adjectives and a noun, and clothes that tell it from others; empty when it is none."""
    low = [word.lower() for word in words]
    begin += low[begin : begin + 1] in (["not"], ["nt"])
    if low[begin : begin + 1] and low[begin] in ("he", "it", "she", "they"):
        return _Subject("", words[begin], low[begin] == "they", begin + 1)
    first = begin
    while first < len(low) and (low[first] in words_of.ARTICLES or low[first].isdecimal()):
        first += 1
    head = _head(low, first, marked=first > begin or low[:begin] in (["which"], ["whose"]))
    if head is None:
        return _Subject()
    end = _behind_clothes(low, head + 1)
    plural = low[head] in words_of.SINGULARS or (low[head].endswith("s") and not low[head].endswith("ss"))
    several = not words_of.PLURAL_MARKS.isdisjoint(low[begin:first])
    return _Subject(" ".join(words[first:end]), " ".join(words[begin:end]), plural or several, end)


def _head(low: Sequence[str], first: int, *, marked: bool) -> int | None:
    """Find the noun of a phrase: a listed one close by, else what follows an article and adjectives."""
    ends = words_of.ARTICLES | words_of.AUXILIARIES | words_of.LINKS | words_of.PRONOUNS
    head = next((i for i, word in enumerate(low[first : first + 4], first) if _is_noun(word)), None)
    if head is not None and ends.isdisjoint(low[first:head]):
        while _is_noun("".join(low[head + 1 : head + 2])):
            head += 1
        return head
    head = next((i for i, word in enumerate(low) if i >= first and word not in words_of.ADJECTIVES), None)
    if not marked or head is None or low[head] in ends or _is_gerund(low[head]):
        return None
    return head


def _is_noun(word: str) -> bool:
    """Tell whether a word is a listed noun or its plural."""
    singulars = {word, words_of.SINGULARS.get(word, word), word.removesuffix("s"), re.sub("ies$", "y", word)}
    return not singulars.isdisjoint(words_of.NOUNS)


def _behind_clothes(low: Sequence[str], at: int) -> int:
    """Skip "in black", "in dark blue shirt" and the like."""
    worn = low[at + 1] if low[at : at + 1] == ["in"] and at + 1 < len(low) else "the"
    if worn in words_of.ARTICLES | {"between", "front"}:
        return at
    end = at + (3 if worn in ("dark", "deep", "light") else 2)
    if low[end : end + 1] == ["and"] and words_of.ADJECTIVES.intersection(low[end + 1 : end + 2]):
        end += 2
    return min(end + len(words_of.GARMENTS.intersection(low[end : end + 1])), len(low))


def _is_gerund(word: str) -> bool:
    return word.endswith("ing") and word not in words_of.NOT_GERUNDS


def _statement(event: str, subject: _Subject) -> str:
    """Give an event without a subject the question's: "opening the gate" happens to the girl."""
    if not subject.phrase or not _is_gerund(event.partition(" ")[0].lower()):
        return event
    return f"{subject.phrase} {'are' if subject.plural else 'is'} {event}"


def _act(words: Sequence[str], behind: int, subject: _Subject) -> str:
    """Turn a question why or how into the statement that it takes for granted; empty for mere states."""
    auxiliary, rest = words[behind - 1].lower(), list(words[subject.end or behind :])
    state = bool(rest) and rest[0].lower().removesuffix("ing") in words_of.STATES
    if not rest or state or not _NO_ACTORS.isdisjoint((words[behind].lower(), rest[0].lower())):
        return ""
    if not subject.phrase:
        return " ".join(rest) if len(rest) > 1 else ""
    if auxiliary in ("are", "is", "was", "were"):
        return " ".join((subject.phrase, auxiliary, *rest))
    if auxiliary in words_of.AUXILIARIES and not subject.plural:
        rest[0] = _third_person(rest[0])
    return " ".join((subject.phrase, *rest))


def _third_person(verb: str) -> str:
    """Put a verb's base form into the third person; other words, and other forms, stay."""
    low = verb.lower()
    if low in words_of.LINKS or not low.isalpha() or _is_gerund(low):
        return verb
    if low.endswith(("ed", "ly", "s")) and not low.endswith("ss"):
        return verb
    if low == "have":
        return "has"
    if low.endswith(("ch", "sh", "ss", "x", "z", "o")):
        return f"{verb}es"
    return f"{verb[:-1]}ies" if low[-1] == "y" and low[-2:-1] not in tuple("aeiou") else f"{verb}s"
