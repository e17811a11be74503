"""Runs whose language models sit behind a real HTTP server: planning, repair, selection, writing, judging.

The server is scripted: it reads the prompts as a model would and answers in the form they ask for. It errs on
purpose now and then, and is stopped and started in the middle of a run.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aotd.agent.config import RunConfig
from aotd.agent.engine import engine
from aotd.agent.grammar import GrammarPlanner
from aotd.agent.pipeline import Item
from aotd.benchmarks.nextqa import load_nextqa
from aotd.tools.build import Models
from aotd.tools.cache import Cache
from aotd.tools.models import Choice, Detection, SelectRequest, VideoAnswer
from aotd.tools.scripted import ScriptedDetector, ScriptedGrounder, ScriptedVideoModel
from aotd.tools.scripted_server import Asked, Said, ScriptedServer
from aotd.tools.selector import RuleSelector
from aotd.traces.outcomes import RIGHT, Outcome
from aotd.traces.records import Example, Question
from aotd.traces.runs import Run
from aotd.world.build import write_annotation, write_world
from tests.conftest import Aotd

pytest.importorskip("openai")


def reply(asked: Asked) -> Said:
    """Answer a prompt in the form that it asks for."""
    text = asked.last
    if "Now write the chain of thought" in text:
        said = chain(text)
    elif "You judge a chain of thought" in text:
        said = "yes yes Each step follows."
    elif "support best" in text:
        said = choice(text)
    else:
        said = program(asked)
    return Said(said, prompt_tokens=len(text) // 4, reply_tokens=len(said) // 4)


def program(asked: Asked) -> str:
    """Write the grammar's program; the first try for every question about a book calls what is not there."""
    texts = [str(message["content"]) for message in asked.body["messages"] if message["role"] == "user"]
    (found,) = re.findall(r"^Question: (.*)\nPossible answers: (.*)$", texts[0], re.MULTILINE)
    question, options = json.loads(found[0]), None if found[1] in ("null", "None") else json.loads(found[1])
    asking = Question(id="q", dataset="x", video_id="v", text=question, options=options)
    source = asyncio.run(GrammarPlanner().plan(asking)).source or ""
    if len(texts) == 1 and "book" in question:
        source = source.replace("Find(", "Fnd(", 1)
    return f"Here is the program:\n```python\n{source}```\nIt looks at the person first."


def choice(text: str) -> str:
    """Choose as the rule selector does, from the quoted findings and options."""
    options = [json.loads(o) for o in re.findall(r'^\([A-Z]\) (".*")$', text, re.MULTILINE)]
    found = text.split("What was found:")[1].split("Possible answers:", maxsplit=1)[0]
    info = {"found": [json.loads(f) for f in re.findall(r'"(?:[^"\\]|\\.)*"', found)]}
    (chosen,) = RuleSelector().select(
        [SelectRequest.model_validate({"query": "q", "info": info, "options": options})]
    )
    assert isinstance(chosen, Choice)
    return "None of them." if chosen.text is None else "ABCDE"[options.index(chosen.text)]


def chain(text: str) -> str:
    """Retell the record line by line."""
    record = text.split("<data>")[1].split("</data>", maxsplit=1)[0]
    lines = [json.loads(line) for line in record.strip().splitlines()]
    told = [sentence(call) for call in lines if "call" in call and call["function"] != "select_answer"]
    last = max(call["call"] for call in lines if "call" in call)
    return "\n".join([*told, f"So the answer is {lines[-1]['answer']} [{last}]"])


def sentence(call: dict[str, Any]) -> str:
    """Retell one call."""
    number, found = call["call"], call.get("found")
    match call["function"]:
        case "Filter_frames_with_act":
            said = f"Find when {call['action']}: {found}."
        case "trim":
            said = f"Keep what lies there: {found}."
        case "Find" if call.get("boxes"):
            said = f"The {call['obj']} is seen at {', '.join(call['boxes'])}."
        case "Find":
            said = f"The {call['obj']} is never seen."
        case "Video_summary":
            said = "No summary is given."
        case _:
            said = (
                f"Asked for that, the answers are: {', '.join(found) if isinstance(found, list) else found}."
            )
    return f"{said} [{number}]"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server that answers prompts."""
    scripted = ScriptedServer(reply)
    scripted.start()
    yield scripted
    scripted.stop()


def served(server: ScriptedServer, *more: str) -> list[str]:
    """Words that point the preset at a server."""
    return [
        *("--preset", "served", f"text.default.base_url={server.base_url}", "text.default.model=scripted"),
        *("text.default.concurrency=8", *more),
    ]


def canonical(folder: Path) -> list[dict[str, Any]]:
    """Canonical rows without the hash of the settings, which names the server's port."""
    rows = [example.canonical() for _, example in sorted(Run.open(folder).examples().items())]
    return [{k: v for k, v in row.items() if k != "provenance"} | {"rationale": None} for row in rows]


def test_star_through_a_server(aotd: Aotd, server: ScriptedServer, tmp_path: Path) -> None:
    """Plans, repairs, choices, chains and verdicts of a server take questions to kept chains of thought."""
    annotations = write_annotation(tmp_path, clips=3)
    run = tmp_path / "run"
    assert aotd("generate", "star", annotations, "--out", run, *served(server))[0] == 0
    examples = list(Run.open(run).examples().values())
    about_books = [e for e in examples if "book" in e.question.text]
    assert {e.outcome for e in examples} <= RIGHT
    assert about_books
    assert all(e.outcome is Outcome.RIGHT_AFTER_REPAIR and len(e.attempts) == 2 for e in about_books)
    refusal = about_books[0].attempts[0].refusal
    assert refusal is not None
    assert refusal.outcome is Outcome.BREAKS_CONTRACT
    kept = [e for e in examples if e.kept]
    assert kept
    assert all([v.check for v in e.verdicts] == ["answer", "faithful", "complete", "judge"] for e in kept)
    assert all(e.verdicts[-1].raw == "yes yes Each step follows." for e in kept)
    manifest = Run.open(run).manifest
    assert set(manifest.usage) == {"judge", "planner", "selector", "writer"}
    asked = sum(used["requests"] for used in manifest.usage.values())  # type: ignore[index,call-overload,misc]
    assert asked == len(server.asked)
    assert {"planner/planner", "planner/repair", "writer/writer", "judge/judge"} <= set(manifest.prompts)


def test_a_server_that_restarts_delays_a_run_and_changes_nothing(
    aotd: Aotd, server: ScriptedServer, tmp_path: Path
) -> None:
    """Stopped in mid-run and started again, the server's outage costs no question and changes no row."""
    annotations = write_annotation(tmp_path, clips=3)
    quiet, shaken = tmp_path / "quiet", tmp_path / "shaken"
    assert aotd("generate", "star", annotations, "--out", quiet, *served(server))[0] == 0
    before = len(server.asked)

    def shake() -> None:
        while len(server.asked) < before + 20:
            time.sleep(0.01)
        server.stop()
        time.sleep(1.0)
        server.start()

    shaker = threading.Thread(target=shake)
    shaker.start()
    code, _, _ = aotd("generate", "star", annotations, "--out", shaken, *served(server))
    shaker.join()
    assert code == 0
    assert canonical(shaken) == canonical(quiet)


def test_a_busy_and_slow_server_delays_a_run_and_changes_nothing(
    aotd: Aotd, server: ScriptedServer, tmp_path: Path
) -> None:
    """Answers that come late, or only after "too many requests", are waited for; the cost is counted."""
    annotations = write_annotation(tmp_path, clips=2)
    quiet, busy = tmp_path / "quiet", tmp_path / "busy"
    assert aotd("generate", "star", annotations, "--out", quiet, *served(server))[0] == 0
    turned_away: set[str] = set()

    def grudging(asked: Asked) -> Said:
        if len(asked.last) % 3 == 0 and asked.last not in turned_away:
            turned_away.add(asked.last)
            return Said("too many requests", status=429, retry_after="0.05")
        return reply(asked)._replace(delay=0.02 * (len(asked.last) % 4))

    with ScriptedServer(grudging) as strict:
        words = served(strict, "text.default.prices.prompt=1.0", "text.default.prices.reply=2.0")
        code, _, err = aotd("generate", "star", annotations, "--out", busy, *words)
    assert code == 0
    assert re.search(r"model selector/server/scripted: \d+ requests asked again, 0 batches halved", err)
    assert turned_away
    assert canonical(busy) == canonical(quiet)
    for used in Run.open(busy).manifest.usage.values():
        assert isinstance(used, dict)
        spent = (float(str(used["prompt_tokens"])) + 2 * float(str(used["reply_tokens"]))) / 1e6
        assert used["cost"] == pytest.approx(spent)


def test_a_server_that_stays_down_stops_a_run_that_can_be_resumed(
    aotd: Aotd, server: ScriptedServer, tmp_path: Path
) -> None:
    """With no patience left the run ends with exit code 75, no question fails, and resume completes it."""
    annotations = write_annotation(tmp_path, clips=3)
    run = tmp_path / "run"

    def stop() -> None:
        while len(server.asked) < 20:
            time.sleep(0.01)
        server.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    code, _, err = aotd(
        "generate", "star", annotations, "--out", run, *served(server, "text.patience_seconds=0.1")
    )
    stopper.join()
    assert code == 75
    assert "aotd resume" in err
    assert {e.outcome for e in Run.open(run).examples().values()} <= RIGHT
    server.start()
    asked = len(server.asked)
    assert aotd("resume", run)[0] == 0
    assert len(Run.open(run).examples()) == len(json.loads(annotations.read_text()))
    keys = [call.key for call in Run.open(run).calls()]
    assert len(keys) == len(set(keys))
    assert len(server.asked) > asked


def test_nextqa_through_a_server(server: ScriptedServer, tmp_path: Path) -> None:
    """NExT-QA's questions about whole videos are planned, chosen and told the same way."""
    write_world(tmp_path / "world", clips=1)
    (video,) = (tmp_path / "world" / "videos").iterdir()
    table = tmp_path / "val.csv"
    table.write_text(
        "video,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4\n"
        f"{video.stem},100,240,180,why did the person bend down,1,1,CW,to sleep,take the bag,sing,cook,eat\n"
        f"{video.stem},100,240,180,how many bags are there,0,2,DC,one,two,three,four,five\n"
    )
    config = RunConfig.model_validate(
        {
            **{part: {"kind": "oracle"} for part in ("detector", "grounder", "video_model")},
            **{part: {"kind": "llm"} for part in ("planner", "writer", "judge")},
            "source": {"dataset": "nextqa", "annotations": str(table), "videos": str(video.parent)},
            "text": {"default": {"base_url": server.base_url, "model": "scripted", "api_key_env": None}},
        }
    )
    bag = (Detection(name="bag", box=(1, 2, 30, 40), score=0.9),)
    models = Models(
        ScriptedDetector(lambda r: bag if r.names[0].startswith("bag") else ()),
        ScriptedGrounder(lambda _: ()),
        ScriptedVideoModel(lambda r: VideoAnswer(texts=("yes" if r.task == "is_this" else "take the bag",))),
        RuleSelector(),
    )
    examples: list[Example] = []
    with engine(config, None, Cache(10**6), lambda _: None, models) as pipeline:
        items = [Item(question, None) for question in load_nextqa(table)]
        asyncio.run(pipeline.generate(items, examples.append, asyncio.Event()))
    ended = {e.question.id: e for e in examples}
    counted = ended[f"{video.stem}_2"]
    assert counted.outcome is Outcome.RIGHT
    assert counted.trace is not None
    assert counted.trace.video.path == video.name
    assert all(e.attempts and e.attempts[-1].trace for e in examples)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--preset", "oracle", "planner.kind=llm"], "set text.default.base_url and text.default.model"),
        (
            [
                "--preset",
                "served",
                "text.default.base_url=https://a.example/v1",
                "text.default.api_key_env=NO_KEY",
            ],
            "set the environment variable NO_KEY",
        ),
        (["--preset", "served", "text.default.base_url=http://u:p@127.0.0.1/v1"], "password"),
        (["--preset", "served", "text.default.temperature=warm"], "text.default.temperature='warm'"),
    ],
)
def test_a_server_that_is_set_wrongly_is_told_before_any_work(
    aotd: Aotd, tmp_path: Path, words: list[str], told: str
) -> None:
    """A missing server, key or number is one line that names the mend, and no run folder is made."""
    annotations = write_annotation(tmp_path, clips=1)
    code, _, err = aotd("generate", "star", annotations, "--out", tmp_path / "run", *words)
    assert code == 2
    assert told in err.strip().splitlines()[-1]
    assert not (tmp_path / "run").exists()
