"""The check that a chain of thought leaves nothing out that its answer depends on.

What the answer depends on is read off the program (`aotd.traces.dataflow`); what is told is read off the
citations. Whether a sentence says something of a call that it cites, and says it truly, is the `faithful`
check's business. No model is asked.
"""

from __future__ import annotations

import re
from typing import Final

from aotd.agent.claims import CONCLUDES, Claims, read_claims
from aotd.agent.evidence import answer_text, contains, sources, stems
from aotd.traces.dataflow import ANSWER, Unfollowed, dataflow
from aotd.traces.records import Question, Rationale, Sentence, Trace, Verdict

__all__ = ["check_complete"]

_QUOTED: Final = re.compile('"[^"]*"')


def check_complete(question: Question, trace: Trace, rationale: Rationale) -> Verdict:
    """Check that every call is told that the answer depends on.

    A call counts as told if a sentence cites it. A sentence that states the answer may cite anything and
    still pass as faithful, so it tells only the choice that gave the answer: what the choice rests on has to
    be told by sentences of its own. Of a call's boxes all are told or none: AoTD wants no "and so on".

    Returns
    -------
    Verdict
        Passed; or failed with the first call that is not told, or is told with some of its boxes; or failed
        because there is no answer to depend on anything, or because the program cannot be followed.
    """
    import networkx as nx

    if trace.answer is None or trace.failure is not None:
        return _failed("there is no answer that could depend on a call")
    try:
        graph = dataflow(trace)
    except Unfollowed as error:
        return _failed(f"what the answer depends on cannot be found out: {error}")
    gave = set(sources(question, trace))
    chosen = {call.number for call in trace.calls if call.function == "select_answer"} & gave
    answer = stems(answer_text(question, trace) or "")
    told: set[int] = set()
    boxes: dict[int, set[tuple[float, ...]]] = {}
    for sentence in rationale.sentences:
        claims = read_claims(sentence.text)
        told |= set(sentence.calls) & chosen if _concludes(sentence, claims, answer) else set(sentence.calls)
        for number in sentence.calls:
            boxes.setdefault(number, set()).update(boxed.box for boxed in claims.boxes)
    needed = nx.ancestors(graph, ANSWER)
    for call in trace.calls:
        if call.number in needed - told:
            return _failed(f"the answer depends on call {call.number}, {call.function}, which is not told")
        seen = {tuple(map(float, sighting.box)) for sighting in call.sightings}
        shown = seen & boxes.get(call.number, set())
        if shown and len(shown) < len(seen):
            return _failed(f"{len(shown)} of the {len(seen)} boxes of call {call.number} are told, not all")
    return Verdict(
        check="complete", passed=True, reason=f"all {len(needed)} calls that the answer depends on are told"
    )


def _failed(reason: str) -> Verdict:
    return Verdict(check="complete", passed=False, reason=reason)


def _concludes(sentence: Sentence, claims: Claims, answer: str) -> bool:
    return claims.answer is not None or (
        bool(CONCLUDES.search(_QUOTED.sub("", sentence.text))) and contains(claims.text, answer)
    )
