"""The checks on an answer and on its chain of thought, mechanical and without a model.

`answer` passes what scoring found right. `faithful` reads the claims of each sentence and compares them
with the records of the calls that the sentence cites. Whether every call that matters is told is the
`complete` check's business, and style is a judge's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from aotd.agent.claims import CONCLUDES, Claims, Lexicon, read_claims
from aotd.agent.evidence import Testimony, answer_text, contains, sources, stems, testimonies
from aotd.agent.score import Scored
from aotd.traces.answers import match_option, normalise, render
from aotd.traces.outcomes import RIGHT
from aotd.traces.records import Call, Question, Rationale, Sentence, Trace, Verdict

__all__ = ["check_answer", "check_faithful"]

_NEGATIVE: Final = frozenset(
    stems(
        "no not never none nothing nobody neither nor without absent missing cannot cant isnt arent doesnt "
        "dont didnt wasnt werent"
    ).split()
)
"""Stems of words that deny."""
_RESTATES: Final = re.compile(
    r"\b(?:questions?|ask(?:s|ed)?|options?|choices?|need|"
    r"to (?:find|know|see|tell|answer|determine|decide))\b",
    re.IGNORECASE,
)
"""Words by which a sentence speaks of the question and not of the video."""
_INTENDS: Final = re.compile(
    r"\b(?:look(?:s|ed|ing)? for|find|check|search|ask|determine|whether|if|try|next|first)\b", re.IGNORECASE
)
"""Words by which a sentence says what is to be done, not what was found."""
_MAY_BE_SILENT: Final = frozenset({"Video_query", "Video_summary", "Video_caption", "select_answer"})
"""Functions of whose empty answer there is nothing to tell but that it is none."""
_LISTS: Final = frozenset({"Query_Objs", "Query_Actions"})
_LONGEST_PHRASE: Final = 8


class _Case(NamedTuple):
    """What every sentence of one rationale is held against."""

    question: Question
    trace: Trace
    known: dict[int, Testimony]
    nouns: Lexicon
    names: Lexicon
    answer: str | None
    sources: tuple[int, ...]


class _Stated(NamedTuple):
    """A sentence, its claims, and what the calls it cites vouch for."""

    sentence: Sentence
    claims: Claims
    cited: list[Testimony]
    concludes: bool
    """The sentence states the answer."""


def check_answer(question: Question, trace: Trace, scored: Scored) -> Verdict:
    """Pass an answer that was scored right."""
    return Verdict(check="answer", passed=scored.outcome in RIGHT, reason=scored.detail)


def check_faithful(
    question: Question, trace: Trace, rationale: Rationale, names: Collection[str] = ()
) -> Verdict:
    """Check that a rationale says only what the calls it cites found.

    Parameters
    ----------
    names : Collection[str]
        Names of objects to look for besides those of the trace; each part of `cup/glass` counts as one.

    Returns
    -------
    Verdict
        Passed, or the first claim that is not vouched for:

        - a box, with its frame and name, that is no sighting of a cited call;
        - a window that is not half-open `[start, end)` of a clip that a cited call gave or looked at (a
          filter's own window has to be told before the one it started from), or a frame outside;
        - a number that is neither the result of `Count` nor a number of frames;
        - a quotation that is not word for word in the cited calls, the question or its options;
        - a name that the cited calls do not mention, unless the sentence restates the question;
        - something told as seen that was not, or the reverse;
        - part of a list of objects or actions without the rest;
        - an answer that is not the trace's, that cites other calls than those which gave it, or that is
          not told in the end;
        - a call cited of which the sentence says nothing;
        - any such claim without a citation.
    """
    case = _case(question, trace, names)
    for number, sentence in enumerate(rationale.sentences, start=1):
        fault = next(_faults(sentence, case), None)
        if fault:
            return Verdict(check="faithful", passed=False, reason=f"sentence {number}: {fault}")
    concludes = any(_concludes(s, read_claims(s.text), case) for s in rationale.sentences)
    if case.answer is not None and not concludes:
        return Verdict(check="faithful", passed=False, reason=f'the answer "{case.answer}" is not told')
    count = len(rationale.sentences)
    return Verdict(check="faithful", passed=True, reason=f"all claims of {count} sentences are in the trace")


def _case(question: Question, trace: Trace, names: Collection[str]) -> _Case:
    known = testimonies(trace)
    evidence = [t for t in known.values() if t.call.function != "select_answer"]
    told = [text for t in evidence for text in (*t.subject, *t.found)]
    seen = [name for t in known.values() for _, _, name in t.boxes]
    phrases = {text for text in told if 1 < len(text.split()) <= _LONGEST_PHRASE or text.endswith("ing")}
    nouns = {*names, *seen, *(text for t in known.values() for text in _objects(t.call))}
    return _Case(
        question=question,
        trace=trace,
        known=known,
        nouns=Lexicon(nouns),
        names=Lexicon(nouns | phrases),
        answer=answer_text(question, trace),
        sources=sources(question, trace),
    )


def _objects(call: Call) -> Iterator[str]:
    """Yield what a call names as objects."""
    asked = call.args.get("query" if call.function == "exist" else "obj")
    if isinstance(asked, str):
        yield asked
    if call.function == "Query_Objs" and isinstance(call.result, list):
        yield from call.result


def _faults(sentence: Sentence, case: _Case) -> Iterator[str]:
    """Yield every reason against a sentence."""
    unknown = [number for number in sentence.calls if number not in case.known]
    if unknown:
        yield f"cites call {unknown[0]}, which the trace does not have"
        return
    claims = read_claims(sentence.text)
    cited = [case.known[number] for number in sentence.calls]
    stated = _Stated(sentence, claims, cited, _concludes(sentence, claims, case))
    yield from _faults_of_answer(stated, case)
    if not cited:
        yield from _faults_without_citation(stated, case)
        return
    yield from _faults_of_boxes(stated)
    yield from _faults_of_windows(stated)
    yield from _faults_of_numbers(stated, case)
    yield from _faults_of_quotes(stated, case)
    yield from _faults_of_names(stated, case)
    yield from _faults_of_completeness(stated, case)
    yield from _faults_of_citation(stated)
    if not stated.concludes:
        yield from _faults_of_polarity(stated, case)


def _concludes(sentence: Sentence, claims: Claims, case: _Case) -> bool:
    """Tell whether a sentence states an answer: outright, or the trace's own after a word such as "so"."""
    if claims.answer is not None or case.answer is None:
        return claims.answer is not None
    return bool(CONCLUDES.search(sentence.text)) and contains(claims.text, stems(case.answer))


def _faults_of_answer(stated: _Stated, case: _Case) -> Iterator[str]:
    said = stated.claims.answer
    if said is not None and not _means_answer(said, case):
        yield f'states the answer "{said}", but the program answered "{case.answer}"'
    cites = set(stated.sentence.calls)
    if stated.concludes and cites and case.sources and not cites & set(case.sources):
        yield f"states the answer without citing call {case.sources[-1]}, which gave it"


def _means_answer(said: str, case: _Case) -> bool:
    if case.answer is None:
        return False
    if case.question.options is not None:
        index = match_option(said, case.question.options).index
        if index is not None:
            return case.question.options[index].strip() == case.answer
    heads = (said, re.split(r"[,;(.]|\b(?:because|since|as|which|for)\b", said)[0])
    raw = "" if case.trace.answer is None else render(case.trace.answer)
    return any(normalise(head) in {normalise(case.answer), normalise(raw)} for head in heads)


def _faults_without_citation(stated: _Stated, case: _Case) -> Iterator[str]:
    """Let an uncited sentence restate the question or state the answer, nothing else."""
    claims = stated.claims
    if claims.boxes or claims.windows or claims.frames:
        yield "tells of frames or boxes without citing a call"
    allowed = [*_question_words(case), stems(case.answer or "")]
    for name in case.names.find(claims.text):
        if not any(contains(text, name) for text in allowed):
            yield f'names "{name}" without citing a call'
        elif not stated.concludes and not _RESTATES.search(stated.sentence.text):
            yield f'tells of "{name}" without citing a call'
    for counted in claims.counts:
        if not any(contains(text, f"{counted.number:g}") for text in allowed) and counted.number != 1:
            yield f"tells the number {counted.number:g} without citing a call"
    yield from _faults_of_quotes(stated, case)


def _question_words(case: _Case) -> list[str]:
    return [stems(text) for text in (case.question.text, *(case.question.options or ()))]


def _faults_of_boxes(stated: _Stated) -> Iterator[str]:
    sightings = {sighting for t in stated.cited for sighting in t.boxes}
    names = Lexicon(name for _, _, name in sightings)
    for told in stated.claims.boxes:
        box = list(map(round, told.box)) if all(v == round(v) for v in told.box) else list(told.box)
        seen = {s for s in sightings if list(s[1]) == box and told.frame in {s[0], None}}
        frame = "" if told.frame is None else f" in frame {told.frame}"
        if not seen:
            yield f"no cited call saw {box}{frame}"
        named = names.find(told.words)
        if seen and named and not any(name in named for _, _, name in seen):
            yield f"{box}{frame} is no sighting of {named[0]}"


def _faults_of_windows(stated: _Stated) -> Iterator[str]:
    claims = stated.claims
    for start, end in claims.windows:
        if not any((start, end) in t.asked | t.given for t in stated.cited):
            yield f"no cited call looked at or gave frames {start} to {end}"
    for word, frame in claims.borders:
        if not any(frame in (t.starts if word == "after" else t.ends) for t in stated.cited):
            yield f"no cited call has a border {word} frame {frame}"
    for frame in claims.frames:
        if not any(frame in t.frames for t in stated.cited):
            yield f"no cited call knows of frame {frame}"
    told = {*claims.windows, *((frame, frame + 1) for frame in claims.frames)}
    for testimony in stated.cited:
        if testimony.narrows and told and testimony.given and not told & testimony.given:
            yield f"does not tell the frames that call {testimony.call.number} gave"


def _faults_of_numbers(stated: _Stated, case: _Case) -> Iterator[str]:
    for number, said, noun in stated.claims.counts:
        named = case.nouns.find(noun)
        if number == 1 and not (named and noun.startswith(named[0])):
            continue
        if noun.startswith("frame"):
            vouched = any(number in t.lengths for t in stated.cited)
        else:
            counts = [t for t in stated.cited if t.counted is not None]
            about = [t for t in counts if any(contains(s, n) for s in t.subject for n in named)]
            vouched = any(t.counted == number for t in (about if named else counts)) or any(
                contains(words, s) for s in {said, f"{number:g}"} for t in stated.cited for words in t.words
            )
        if not vouched:
            yield f"no cited call counted {number:g}"


def _faults_of_quotes(stated: _Stated, case: _Case) -> Iterator[str]:
    failure = case.trace.failure.message if case.trace.failure else ""
    known = (case.question.text, failure, *(q for t in stated.cited for q in t.quotable))
    offered = (*(case.question.options or ()), *(o for t in stated.cited for o in t.options))
    whole = {_flat(text).rstrip(".") for text in (*offered, case.answer or "")}
    for frame, quote in stated.claims.quotes:
        restated = _flat(quote).rstrip(".") in whole and (stated.concludes or not stated.cited)
        if not restated and not any(_flat(quote) in _flat(text) for text in known):
            yield f'quotes "{quote}", which no cited call says'
        elif frame is not None and not _captioned(frame, quote, stated.cited):
            yield f'no cited call says "{quote}" of frame {frame}'


def _flat(text: str) -> str:
    return " ".join(text.replace('"', "'").casefold().split())


def _captioned(frame: int, quote: str, cited: Sequence[Testimony]) -> bool:
    """Tell whether a caption is that of its frame; calls that do not caption are not asked."""
    captions = {caption for t in cited for caption in t.captions}
    return not captions or (frame, _flat(quote)) in {(grid_id, _flat(text)) for grid_id, text in captions}


def _faults_of_names(stated: _Stated, case: _Case) -> Iterator[str]:
    words = [text for t in stated.cited for text in t.words]
    if stated.concludes:
        words.append(stems(case.answer or ""))
    if _RESTATES.search(stated.sentence.text):
        words += _question_words(case)
    for name in case.names.find(stated.claims.text):
        if not any(contains(text, name) for text in words):
            yield f'names "{name}", which no cited call does'


def _faults_of_completeness(stated: _Stated, case: _Case) -> Iterator[str]:
    """Refuse the half of a list, and a chosen option that is not told as one."""
    said = stated.claims.text
    quoted = " ".join(stems(quote) for _, quote in stated.claims.quotes)
    intends = bool(_INTENDS.search(stated.sentence.text))
    for testimony in stated.cited:
        number, function = testimony.call.number, testimony.call.function
        chosen = function == "select_answer" and bool(testimony.seen) and not stated.concludes
        told = any(contains(text, testimony.found[0]) for text in (said, quoted)) if chosen else True
        if chosen and (number in case.sources or not told):
            yield f"cites the choice of call {number} for something else"
        if function not in _LISTS or stated.concludes or not case.nouns.find(said):
            continue
        names = [name for item in testimony.found for name in case.nouns.find(item) or item.split()[-1:]]
        missing = [name for name in names if not contains(said, name) and not contains(quoted, name)]
        if missing and not (intends and len(missing) == len(names)):
            yield f'leaves out "{missing[0]}", which call {number} found'


def _faults_of_citation(stated: _Stated) -> Iterator[str]:
    """Refuse a citation of a call that the sentence says nothing of."""
    claims = stated.claims
    said = {*claims.text.split(), *(word for _, quote in claims.quotes for word in stems(quote).split())}
    shown = {*claims.windows, *((frame, frame + 1) for frame in claims.frames)}
    boxes = {tuple(map(round, told.box)) for told in claims.boxes}
    for t in stated.cited:
        words = {word for text in (*t.words, *map(stems, t.quotable)) for word in text.split()}
        told = {word for word in words & said if len(word) > 2} or shown & t.given
        borders = {frame for _, frame in claims.borders} & (t.borders[0] | t.borders[1])
        mute = t.seen is False and t.call.function in _MAY_BE_SILENT and bool(said & _NEGATIVE)
        if not (told or mute or borders or boxes & {box for _, box, _ in t.boxes} or stated.concludes):
            yield f"cites call {t.call.number} but says nothing of it"


def _faults_of_polarity(stated: _Stated, case: _Case) -> Iterator[str]:
    """Refuse what is told as seen but was not, and the reverse."""
    intends = bool(_INTENDS.search(stated.sentence.text))
    for clause in stated.claims.clauses:
        named = set(case.nouns.find(clause))
        polar = [t for t in stated.cited if t.seen is not None]
        about = [t for t in polar if named & _key_nouns(t, case)] if named else polar
        own = clause
        for text in sorted((w for t in stated.cited for w in t.words), key=len, reverse=True):
            own = f" {own} ".replace(f" {text} ", " ").strip()
        negative = bool(set(own.split()) & _NEGATIVE)
        said = {word for t in stated.cited for text in t.found for word in text.split()}
        if negative and not polar and not said & _NEGATIVE:
            yield "denies what no cited call looked for"
        if about and negative and all(t.seen for t in about):
            yield f"denies what call {about[0].call.number} found"
        if about and not negative and not intends and not any(t.seen for t in about):
            yield f"tells as seen what call {about[0].call.number} did not find"


def _key_nouns(testimony: Testimony, case: _Case) -> set[str]:
    return {noun for text in testimony.words for noun in case.nouns.find(text)}
