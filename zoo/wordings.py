"""How the forms of questions may be worded: each in STAR's own words and in sentences of ours.

The sentences of a form are divided for good: those to train with, one to choose by, three for the test, which
no training sees. A sentence has slots for who is asked about, the condition and what is asked; this file
does not fill them (`reword.py` does) and knows no program.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from aotd.world.split import SPLITS, Split

__all__ = ["WORDINGS"]

_TABLE: Final = """
Interaction_T1
  Which object was {v_part} by {S}?
  Which thing did {S} {v}?
  What object was {v_part} by {S}?
  What thing was it that {S} {v_past}?
  What was {v_part} by {S}?
  {S} {v_past} something. What was it?
  Which of these was {v_part} by {S}?
  Which object {has} {S} {v_part}?
  What is the object that {S} {v_past}?
  Name the object that was {v_part}.
  Which item did {S} {v} in the video?
  validation: What item was {v_part} in this video?
  test: What did {S} {v}?
  test: Which of the objects did {S} {v}?
  test: Tell me which thing {S} {v_past}.
Interaction_T2
  What did {S} do with {o}?
  What was done with {o}?
  What did {S} do to {o}?
  What happened to {o}?
  How did {S} use {o}?
  What {has} {S} done with {o}?
  {S} did something with {o}. What was it?
  Which action did {S} do with {o}?
  What {was} {S} doing with {o}?
  In the video, what did {S} do with {o}?
  validation: What action was done to {o} by {S}?
  test: What was done to {o}?
  test: What {is} {S} doing with {o}?
  test: With {o}, what did {S} do?
Interaction_T3
  What did {S} do while {they} {were} {st}?
  What {was} {S} doing while {st}?
  What happened while {S} {was} {st}?
  While {they} {were} {st}, what did {S} do?
  What action did {S} do while {st}?
  When {they} {were} {st}, what did {S} do?
  What else {was} {S} doing when {they} {were} {st}?
  {S} {was} {st}. What did {they} do meanwhile?
  During the time {S} {was} {st}, what happened?
  What did {S} do when {they} {were} {st}?
  validation: While {st}, what was done by {S}?
  test: While {st}, what did {S} do?
  test: What did {S} do at the same time as {they} {were} {st}?
  test: What {was} {S} doing when {they} {were} {st}?
Interaction_T4
  What did {S} do while {they} {were} {st} and {st2}?
  While {st} and {st2}, what did {S} do?
  What {was} {S} doing while {st} and {st2}?
  What happened while {S} {was} {st} and {st2}?
  When {they} {were} {st} and {st2}, what did {S} do?
  What did {S} do when {they} {were} both {st} and {st2}?
  What action did {S} do while {st} and also {st2}?
  {S} {was} {st} and {st2}. What did {they} do meanwhile?
  While {S} {was} {st} and {st2}, what happened?
  validation: What else did {S} do while {st} and {st2}?
  test: While {they} {were} {st} and {st2}, what did {S} do?
  test: What {was} {S} doing when {they} {were} {st} and {st2}?
  test: What did {S} do while both {st} and {st2}?
Sequence_T1
  Which object did {S} {v} after {they} {past}?
  What did {S} {v} after {ing}?
  After {S} {past}, which object did {they} {v}?
  After {ing}, which thing did {S} {v}?
  Which object was {v_part} after {S} {past}?
  Once {they} had {done}, what did {S} {v}?
  {S} {past}. Which object did {they} {v} afterwards?
  Which thing was {v_part} by {S} after {they} {past}?
  What object did {S} {v} once {they} {past}?
  Having {done}, which object did {S} {v}?
  What item did {S} {v} right after {ing}?
  After {ing}, which object was {v_part} by {S}?
  What had been {v_part} once {S} had {done}?
  validation: After {they} {past}, what was {v_part} by {S}?
  test: After {ing}, what did {S} {v}?
  test: Which object did {S} {v} after {ing}?
  test: What was {v_part} by {S} after {they} {past}?
Sequence_T2
  Which object did {S} {v} before {they} {past}?
  What did {S} {v} before {ing}?
  Before {S} {past}, which object did {they} {v}?
  Before {ing}, which thing did {S} {v}?
  Which object was {v_part} before {S} {past}?
  Which object had {S} {v_part} before {they} {past}?
  {S} {past}. Which object did {they} {v} before that?
  Which thing was {v_part} by {S} before {they} {past}?
  What object did {S} {v} before {they} {past}?
  Prior to {ing}, which object did {S} {v}?
  What item did {S} {v} right before {ing}?
  Before {ing}, which object was {v_part} by {S}?
  What had been {v_part} when {S} {past}?
  validation: Before {they} {past}, what was {v_part} by {S}?
  test: Before {ing}, what did {S} {v}?
  test: Which object did {S} {v} before {ing}?
  test: What was {v_part} by {S} before {they} {past}?
Sequence_T3
  What happened after {S} {past}?
  What did {S} do after {ing}?
  What did {S} do after {they} {past}?
  After {S} {past}, what happened?
  After {they} {past}, what did {S} do next?
  What happened next after {ing}?
  Once {S} had {done}, what did {they} do?
  {S} {past}. What happened afterwards?
  What came right after {S} {past}?
  What was done after {noun} was {part}?
  Having {done}, what did {S} do?
  What was the next thing {S} did after {ing}?
  validation: After {ing}, what happened?
  test: After {ing}, what did {S} do?
  test: What did {S} do once {they} had {done}?
  test: What happened right after {S} {past}?
Sequence_T4
  What happened before {S} {past}?
  What did {S} do before {ing}?
  What did {S} do before {they} {past}?
  Before {S} {past}, what happened?
  Before {they} {past}, what did {S} do?
  What happened just before {ing}?
  What had {S} done before {they} {past}?
  {S} {past}. What happened before that?
  What came right before {S} {past}?
  What was done before {noun} was {part}?
  Prior to {ing}, what did {S} do?
  What was the last thing {S} did before {ing}?
  validation: Before {ing}, what happened?
  test: Before {ing}, what did {S} do?
  test: What had {S} done before {ing}?
  test: What happened right before {S} {past}?
Sequence_T5
  What did {S} do to {o} after {ing}?
  What did {S} do with {o} after {they} {past}?
  After {ing}, what did {S} do to {o}?
  After {S} {past}, what did {they} do with {o}?
  What happened to {o} after {S} {past}?
  What was done to {o} after {ing}?
  Once {S} had {done}, what did {they} do with {o}?
  {S} {past}. What did {they} do to {o} afterwards?
  What did {S} do to {o} right after {ing}?
  Having {done}, what did {S} do to {o}?
  How did {S} use {o} after {ing}?
  validation: What happened to {o} after {ing}?
  test: After {ing}, what did {S} do with {o}?
  test: What was done with {o} after {S} {past}?
  test: After {they} {past}, what happened to {o}?
Sequence_T6
  What did {S} do to {o} before {ing}?
  What did {S} do with {o} before {they} {past}?
  Before {ing}, what did {S} do to {o}?
  Before {S} {past}, what did {they} do with {o}?
  What happened to {o} before {S} {past}?
  What was done to {o} before {ing}?
  What had {S} done with {o} before {they} {past}?
  {S} {past}. What did {they} do to {o} before that?
  What did {S} do to {o} right before {ing}?
  Prior to {ing}, what did {S} do to {o}?
  How did {S} use {o} before {ing}?
  validation: What happened to {o} before {ing}?
  test: Before {ing}, what did {S} do with {o}?
  test: What was done with {o} before {S} {past}?
  test: Before {they} {past}, what happened to {o}?
Prediction_T1
  What will {S} do next?
  What {is} {S} going to do next?
  What will happen next?
  What comes next?
  What will {S} do now?
  What {does} {S} do next?
  What might {S} do next?
  What is the next thing {S} will do?
  What action will {S} do next?
  Next, what will {S} do?
  Guess what {S} will do next.
  What would {S} do next?
  What {does} {S} get up to next?
  What would be next for {S} to do?
  What {is} {S} doing next?
  validation: What will be done next by {S}?
  test: What is going to happen next?
  test: What will {S} probably do next?
  test: What {is} {S} about to do?
Prediction_T2
  What will {S} do next with {o}?
  What {is} {S} going to do with {o}?
  What will {S} do with {o}?
  What {is} {S} about to do with {o}?
  What will happen to {o} next?
  Next, what will {S} do with {o}?
  What will be done with {o} next?
  What would {S} do with {o} next?
  What might {S} do to {o} next?
  What will {S} probably do to {o}?
  How will {S} use {o} next?
  validation: What {is} {S} going to do to {o} next?
  test: What will {S} do with {o} next?
  test: What is going to happen to {o}?
  test: What {does} {S} do next with {o}?
Prediction_T3
  Which object would {S} {v} next?
  Which object will {S} {v} next?
  What will {S} {v} next?
  Which thing {is} {S} going to {v}?
  What {is} {S} going to {v} next?
  Which object will be {v_part} next?
  What object {is} {S} about to {v}?
  Next, which object will {S} {v}?
  Which thing might {S} {v} next?
  What would be {v_part} next by {S}?
  Which object {does} {S} {v} next?
  validation: What will be {v_part} next?
  test: What would {S} {v} next?
  test: Which object {is} {S} going to {v} next?
  test: What thing will {S} probably {v} next?
Prediction_T4
  Which object would {S} {v} next after {they} {now}?
  Which object would {S} {v} next after {ing}?
  What will {S} {v} next after {ing}?
  After {ing}, which object will {S} {v} next?
  After {they} {past}, what would {S} {v} next?
  Which object will {S} {v} after {they} {now}?
  What {is} {S} going to {v} after {ing}?
  Which object will be {v_part} next after {S} {past}?
  Once {they} {have} {done}, which object will {S} {v}?
  After {they} {now}, what will {S} {v} next?
  Having {done}, what will {S} {v} next?
  validation: Which object would be {v_part} next after {ing}?
  test: After {ing}, what will {S} {v} next?
  test: Which object will {S} {v} next after {they} {past}?
  test: What would {S} {v} after {ing}?
Feasibility_T1
  Which other object is possible to be {v_part} by {S}?
  Which other object could {S} {v}?
  What other thing can {S} {v}?
  What else could be {v_part} by {S}?
  What else can be {v_part}?
  Which other thing {is} {S} able to {v}?
  Which other object might be {v_part}?
  What other object is possible to {v}?
  Is there another object that {S} could {v}? Which one?
  Besides that, what could {S} {v}?
  Which other item can {S} {v} in this room?
  validation: What other object could be {v_part} by {S}?
  test: What else could {S} {v}?
  test: Which other object can be {v_part} by {S}?
  test: What other thing is possible to be {v_part}?
Feasibility_T2
  What else {is} {S} able to do with {o}?
  What else can {S} do with {o}?
  What else could be done with {o}?
  What other thing could {S} do with {o}?
  What more {is} {S} able to do with {o}?
  What else is possible to do with {o}?
  Which other action can {S} do with {o}?
  What else might {S} do to {o}?
  With {o}, what else can {S} do?
  Besides that, what could {S} do with {o}?
  validation: What other action is possible with {o}?
  test: What else could {S} do with {o}?
  test: What else can be done to {o}?
  test: What other things {is} {S} able to do with {o}?
Feasibility_T3
  Which object is possible to be {v_part} when {S} {is} {st}?
  Which object can be {v_part} when {S} {is} {st}?
  What could {S} {v} while {st}?
  Which thing {is} {S} able to {v} when {they} {are} {st}?
  When {S} {is} {st}, which object can {they} {v}?
  While {st}, which object could {S} {v}?
  What object is possible to {v} while {S} {is} {st}?
  {S} {is} {st}. Which object could {they} {v}?
  Which object could be {v_part} by {S} while {st}?
  What is possible to be {v_part} when {they} {are} {st}?
  validation: While {S} {is} {st}, what can be {v_part}?
  test: Which object can {S} {v} while {st}?
  test: When {S} {is} {st}, what could be {v_part}?
  test: What {is} {S} able to {v} when {they} {are} {st}?
Feasibility_T4
  What {is} {S} able to do when {they} {are} {st}?
  What can {S} do when {they} {are} {st}?
  What could {S} do while {st}?
  When {S} {is} {st}, what can {they} do?
  While {st}, what {is} {S} able to do?
  What is possible to do when {S} {is} {st}?
  What action could {S} do when {they} {are} {st}?
  {S} {is} {st}. What could {they} do?
  What might {S} do while {they} {are} {st}?
  What can be done while {S} {is} {st}?
  validation: While {they} {are} {st}, what could {S} do?
  test: What can {S} do while {st}?
  test: When {they} {are} {st}, what {is} {S} able to do?
  test: What could {S} do when {they} {are} {st}?
Feasibility_T5
  Which object {is} {S} able to {v} after {ing}?
  Which object can {S} {v} after {ing}?
  What could {S} {v} after {they} {past}?
  After {ing}, which object {is} {S} able to {v}?
  After {S} {past}, what can {they} {v}?
  What is possible to be {v_part} after {ing}?
  Which thing could be {v_part} by {S} after {ing}?
  Once {S} {has} {done}, which object can {they} {v}?
  {S} {past}. Which object could {they} {v} afterwards?
  Which object is possible to {v} after {S} {past}?
  Having {done}, which object {is} {S} able to {v}?
  validation: What can be {v_part} after {S} {past}?
  test: What {is} {S} able to {v} after {ing}?
  test: After {ing}, what could {S} {v}?
  test: Which object could {S} {v} after {they} {past}?
Feasibility_T6
  What {is} {S} able to do after {ing}?
  What can {S} do after {ing}?
  What could {S} do after {they} {past}?
  After {ing}, what {is} {S} able to do?
  After {S} {past}, what can {they} do?
  What is possible to do after {ing}?
  What could be done after {S} {past}?
  Once {S} {has} {done}, what can {they} do?
  {S} {past}. What could {they} do afterwards?
  Which action {is} {S} able to do after {ing}?
  Having {done}, what could {S} do?
  validation: What might {S} do after {ing}?
  test: After {ing}, what could {S} do?
  test: What {is} {S} able to do once {they} {have} {done}?
  test: What {is} {S} able to do after {they} {past}?
"""


def _read() -> dict[str, dict[Split, tuple[str, ...]]]:
    found: dict[str, dict[Split, list[str]]] = {}
    for line in _TABLE.strip().splitlines():
        if not line.startswith(" "):
            found[line] = {split: [] for split in SPLITS}
            continue
        named = next((split for split in SPLITS if line.startswith(f"  {split}: ")), None)
        sentence = line.removeprefix(f"  {named}: ") if named else line.strip()
        found[next(reversed(found))][named or "train"].append(sentence)
    return {
        form: {split: tuple(sentences) for split, sentences in splits.items()}
        for form, splits in found.items()
    }


WORDINGS: Final[Mapping[str, Mapping[Split, tuple[str, ...]]]] = MappingProxyType(_read())
"""Sentences by STAR's label of the form and by split; the first to train with is STAR's own.

Slots: `{S}` who, with `{was}`, `{is}`, `{has}`, `{does}`; `{they}` who again, with `{were}`, `{are}`,
`{have}`. The condition: `{past}` "took the book", `{ing}`, `{now}`, `{done}` "taken the book", `{noun}` "the
book" and `{part}` "taken". What is asked about: `{v}`, `{v_past}`, `{v_part}` of a verb, or the object `{o}`.
Relations: `{st}`, `{st2}` "holding the dish".
"""
