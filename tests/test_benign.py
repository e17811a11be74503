"""Programs as language models write them: nearly all pass the check, and mean what they mean in Python.

`tests/benign/*.txt` holds them, many to a file, each under a line `#@ name`. `tests/benign/plain.py` runs
them in plain Python on scripted answers; the sandbox is given the same answers and must do the same.
"""

from __future__ import annotations

import asyncio
import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from aotd.agent.grammar import GrammarPlanner
from aotd.agent.sandbox.host import Inputs, Sandbox
from aotd.agent.sandbox.outcome import NextCall, Outcome, Raised, Returned
from aotd.prompts.loader import examples
from aotd.tools.api import wire
from aotd.traces.records import Question

FOLDER = Path(__file__).parent / "benign"
QUERY = "What did the person do?"
OPTIONS = ("The cup.", "The book.", "Opened the door.", "yes", "2")
SCENARIOS = ("rich", "other", "nothing", "trouble")
LARGEST_SHARE = 0.01

REFUSED = {
    "reporting/percent_type_error": "TypeError: not all arguments converted during string formatting",
    "sloppy/numpy_mean": "numpy cannot be imported",
    "voting/argmax_dunder": "the attribute __getitem__ begins with an underscore",
}
"""Programs that are refused, and why; the TypeError comes of a dry run, whose lists never hold two."""


class Program(NamedTuple):
    """A program of the corpus."""

    name: str
    source: str

    @property
    def options(self) -> tuple[str, ...] | None:
        """Its question's options; those in `open_answers` are for questions without."""
        return None if self.name.startswith("open_") else OPTIONS

    @property
    def inputs(self) -> Inputs:
        """What its entry function is given."""
        return Inputs(frames=tuple(range(32)), query=QUERY, possible_answers=self.options)


def corpus() -> list[Program]:
    """Read all programs."""
    found = []
    for path in sorted(FOLDER.glob("*.txt")):
        parts = re.split(r"^#@ (\w+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert not parts[0].strip(), path
        found += [
            Program(f"{path.stem}/{name}", source)
            for name, source in zip(parts[1::2], parts[2::2], strict=True)
        ]
    return found


CORPUS = corpus()
RUN = [program for program in CORPUS if program.name not in REFUSED]


@pytest.fixture(scope="module")
def plain() -> dict[tuple[str, str], Any]:
    """What each program does in plain Python, by name and scenario."""
    keys = [(p, scenario) for p in RUN for scenario in SCENARIOS]
    job = {"api": wire(), "runs": [(p.source, p.options, scenario) for p, scenario in keys]}
    done = subprocess.run(
        [sys.executable, str(FOLDER / "plain.py")],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        env={"PYTHONHASHSEED": "0", "PYTHONUTF8": "1"},  # sets iterate as they do in the sandbox
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return {(p.name, scenario): r for (p, scenario), r in zip(keys, json.loads(done.stdout), strict=True)}


def told(outcome: Outcome) -> dict[str, Any]:
    """Tell a run as the plain side does."""
    assert isinstance(outcome, (Returned, Raised)), outcome
    history = outcome.history
    record: dict[str, Any] = {
        "calls": [[c.function, c.args, c.line] for c in history.calls],
        "reads": [[r.clip, r.attribute, r.value] for r in history.reads],
        "output": "".join(f"{line}\n" for line in history.output),
    }
    if isinstance(outcome, Raised):
        return record | {"type": outcome.type, "message": outcome.message}
    return record | ({"answer": outcome.answer} if outcome.parsable else {"strange": True})


def expected(run: dict[str, Any]) -> dict[str, Any]:
    """Bring a plain run to the same form."""
    record = {key: value for key, value in run.items() if key != "answers"}
    if record["output"] and not record["output"].endswith("\n"):
        record["output"] += "\n"
    if "strange" in record:
        record["strange"] = True
    return record


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    """There are at least 340 programs; no two have one name or one text."""
    assert len(CORPUS) >= 340
    assert len({p.name for p in CORPUS}) == len({p.source for p in CORPUS}) == len(CORPUS)


def test_nearly_all_programs_pass_the_check(sandbox: Sandbox) -> None:
    """At most one program in a hundred is refused, each for a reason known here and told with its mend."""
    refused = {p.name: reasons for p in CORPUS if (reasons := sandbox.check(p.source, p.inputs))}
    assert {name: reasons[0].message for name, reasons in refused.items()} == REFUSED
    assert all(r.line and r.hint for reasons in refused.values() for r in reasons)
    assert len(refused) <= LARGEST_SHARE * len(CORPUS)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_programs_do_what_they_do_in_plain_python(
    sandbox: Sandbox, plain: dict[tuple[str, str], Any], scenario: str
) -> None:
    """Answer or exception, calls with arguments and lines, reads of clips and printed text are the same."""
    differing = {}
    for program in RUN:
        run = plain[program.name, scenario]
        outcome = told(sandbox.run(program.source, program.inputs, run["answers"]))
        if repr(outcome) != repr(wanted := {key: expected(run)[key] for key in outcome if key in run}):
            differing[program.name] = (outcome, wanted)
    assert differing == {}


def test_step_by_step_comes_to_the_same(sandbox: Sandbox, plain: dict[tuple[str, str], Any]) -> None:
    """Run as a question is run, one more answer at a time, every tenth program makes the same calls."""
    for program in RUN[::10]:
        run = plain[program.name, "rich"]
        for given in range(len(run["answers"]) + 1):
            outcome = sandbox.run(program.source, program.inputs, run["answers"][:given])
            calls = [call[:2] for call in run["calls"]]
            if isinstance(outcome, NextCall):
                assert calls[outcome.call.number - 1] == [outcome.call.function, outcome.call.args]
        assert repr(told(outcome)["calls"]) == repr(run["calls"]), program.name


def test_the_worked_examples_pass_the_check(sandbox: Sandbox) -> None:
    """What the planner is shown is accepted, for questions with options and without."""
    for name, source in examples().items():
        options = None if "Possible answers: None" in source else OPTIONS
        inputs = Inputs(frames=tuple(range(32)), query=QUERY, possible_answers=options)
        assert sandbox.check(source, inputs) == (), name


def planned(data: Path) -> Iterator[tuple[str, tuple[str, ...] | None, str]]:
    """Plan every question of STAR and NExT-QA by rule: its text, its options and its program."""
    for name, file, options in (("star", "STAR_val_qa.csv", 4), ("nextqa", "val.csv", 5)):
        with (data / name / file).open(encoding="utf-8", newline="") as rows:
            for number, row in enumerate(csv.DictReader(rows)):
                offered = tuple(row[f"a{n}"] for n in range(options))
                question = Question(
                    id=str(number), dataset=name, video_id="v", text=row["question"], options=offered
                )
                plan = asyncio.run(GrammarPlanner().plan(question))
                assert plan.source is not None, row["question"]
                yield row["question"], offered, plan.source


def test_programs_for_published_questions_pass_the_check(sandbox: Sandbox, data: Path) -> None:
    """Every hundredth of 12,094 programs that are written by rule is accepted; all with AOTD_TEST_ALL=1."""
    programs = list(planned(data))
    assert len(programs) == 7098 + 4996
    for text, options, source in programs[:: 1 if os.environ.get("AOTD_TEST_ALL") else 100]:
        inputs = Inputs(frames=tuple(range(32)), query=text, possible_answers=options)
        assert sandbox.check(source, inputs) == (), text
