"""Tests of a run's folder, and of the schemas of its files."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from aotd.traces.journal import JournalError
from aotd.traces.outcomes import Outcome
from aotd.traces.records import (
    SCHEMA_VERSION,
    Attempt,
    Call,
    CallError,
    Clip,
    Example,
    Failure,
    Provenance,
    Question,
    Rationale,
    Read,
    Sentence,
    Sighting,
    Trace,
    Verdict,
    Video,
)
from aotd.traces.runs import Manifest, ModelCall, Run, RunError, new_manifest
from aotd.traces.schema import json_schemas

CONFIG: dict[str, JsonValue] = {"tools": {"detector": {"kind": "owlv2", "threshold": 0.2}}, "seed": 7}

WRITER = """
import sys
from pathlib import Path
from aotd.traces.runs import ModelCall, Run
with Run.open(Path(sys.argv[1])).writer() as writer:
    n = int(sys.argv[2])
    while True:
        writer.call(ModelCall(key=str(n), model="m", request={"text": "x" * (n % 3000)}))
        n += 1
        print(n, flush=True)
"""


def manifest(annotation: Path | None = None) -> Manifest:
    """Describe a run that starts now."""
    return new_manifest(
        "0123456789abcdef",
        models={"detector": {"id": "owlv2"}},
        prompts={"plan": "abc"},
        seeds={"planner": 7},
        annotation=annotation,
        counts={"questions": 2},
    )


def new_run(folder: Path) -> Run:
    """Start a run."""
    return Run.create(folder, CONFIG, manifest())


def example(question_id: str, detail: str = "") -> Example:
    """Make an example in which every field of a record that can be filled is filled."""
    clip = Clip(video="v", span=(0.0, 2.0), grid_ids=(3, 4), crops=((0, 0, 9, 9), (1, 1, 8, 8)))
    find: dict[str, JsonValue] = {"clip": {"$clip": "clip0"}, "obj": "cup"}
    seen = (Sighting(frame=3, name="cup", box=(0, 0, 9, 9), score=0.5),)
    calls = (
        Call(number=1, function="Find", line=2, args=find, result=clip, sightings=seen),
        Call(number=2, function="exist", line=3, args={}, result=True, notes=("rule",)),
        Call(number=3, function="Query_Objs", line=4, args={}, result=["cup", "bag"]),
        Call(number=4, function="Count", line=5, args={}, error=CallError(kind="EmptyClip", message="none")),
    )
    trace = Trace(
        video=Video(id="v", digest="id:v"),
        span=(0.0, 2.0),
        program="p",
        calls=calls,
        reads=(Read(line=2, clip="clip1", attribute="start", value=3, after_call=1),),
        lines={2: 1},
        variables={"1": {"part": "<clip>"}},
        answer=["cup"],
        failure=Failure(outcome=Outcome.TIMEOUT, type="seconds", message="late", line=3),
    )
    return Example(
        question=Question(id=question_id, dataset="star", video_id="v", text="Which?", options=("a", "b")),
        attempts=(Attempt(program="p", trace=trace),),
        outcome=Outcome.RIGHT,
        detail=detail,
        rationale=Rationale(writer="template", sentences=(Sentence(text="Yes.", calls=(1,)),)),
        verdicts=(Verdict(check="faithful", passed=True, reason=""),),
        provenance=Provenance(run="r", models={"detector": "owlv2"}),
    )


def test_a_run_opens_as_it_was_created(tmp_path: Path) -> None:
    """Config and manifest read back equal, and a new run has neither examples nor calls."""
    made = Run.create(tmp_path / "runs" / "one", CONFIG, manifest())
    run = Run.open(tmp_path / "runs" / "one")
    assert (run.config, run.manifest) == (CONFIG, made.manifest)
    assert (run.examples(), list(run.calls())) == ({}, [])


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abxy ~:01é", max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text("abcxyz_01", min_size=1), JSON, max_size=4))
def test_any_config_comes_back_equal(config: dict[str, JsonValue]) -> None:
    """Every configuration that JSON can hold survives YAML with its types, and hashes the same after it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run")
        try:
            Run.create(path, config, manifest())
        except RunError as error:
            assert "which a run never writes" in str(error)  # noqa: PT017
            return
        run = Run.open(path)
        assert run.config == config


def test_the_manifest_says_what_the_run_was_made_with(tmp_path: Path) -> None:
    """The manifest names versions, time zone, and the annotation by its name and SHA-256, not its place."""
    annotation = tmp_path / "STAR_val.json"
    annotation.write_text("[]")
    made = manifest(annotation=annotation)
    assert made.software["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"aotd", "pydantic", "av"} <= set(made.software)
    assert made.created.endswith("+00:00")
    assert made.schema_version == SCHEMA_VERSION
    assert made.annotation is not None
    assert made.annotation.name == "STAR_val.json"
    assert made.annotation.sha256 == hashlib.sha256(b"[]").hexdigest()
    assert str(tmp_path) not in made.model_dump_json()


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """A run is never created over a run, over other files or over a file; each refusal is one line."""
    new_run(tmp_path / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    told = {"run": "aotd resume", "other": "not empty", "file": "cannot be written here"}
    for name, words in told.items():
        with pytest.raises(RunError) as caught:
            new_run(tmp_path / name)
        assert words in str(caught.value)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["thesis.tex"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    """A run may be created in an empty folder that exists."""
    assert new_run(tmp_path).folder == tmp_path


@pytest.mark.parametrize(
    "config",
    [
        {"planner": {"api_key": "sk-1"}},
        {"planner": {"apiKey": "sk-1"}},
        {"servers": [{"url": "x"}, {"OPENAI_API_KEY": "sk-1"}]},
        {"hf_token": "hf_1"},
        {"headers": {"Authorization": "Bearer 1"}},
        {"x-api-key": "1"},
        {"aws": {"secret_access_key": "1"}},
        {"password": "1"},
        {"planner": {"base_url": "http://me:pass@host/v1"}},
    ],
)
def test_secrets_are_never_written(tmp_path: Path, config: dict[str, JsonValue]) -> None:
    """A config with a token, a key or a password is refused by its key, before any file exists."""
    with pytest.raises(RunError, match="which a run never writes") as caught:
        Run.create(tmp_path / "run", config, manifest())
    assert next(iter(config)) in str(caught.value)
    assert "sk-1" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_what_only_sounds_secret_is_written(tmp_path: Path) -> None:
    """Token limits, tokenizers, names of environment variables and absent keys are no secrets."""
    config: dict[str, JsonValue] = {
        "max_tokens": 512,
        "tokenizer": "llama",
        "api_key_env": "OPENAI_API_KEY",
        "api_key": None,
        "url": "http://host:8000/v1",
    }
    assert Run.create(tmp_path / "run", config, manifest()).config == config


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    """Opening a missing folder, one without a run, or a file is an error of one line that names it."""
    (tmp_path / "file").touch()
    for folder, words in {"gone": "does not exist", ".": "lacks manifest.json", "file": "a run"}.items():
        with pytest.raises(RunError, match=words) as caught:
            Run.open(tmp_path / folder)
        assert str(tmp_path / folder) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("manifest.json", '{"schema_version": 99}', f"99, but this aotd reads version {SCHEMA_VERSION}"),
        ("manifest.json", f'{{"schema_version": {SCHEMA_VERSION}}}', "created: Field required"),
        ("manifest.json", "{", "cannot be read as a run"),
        ("manifest.json", "[]", "no mapping"),
        ("config.yaml", "a: [\n", "cannot be read as a run"),
        ("config.yaml", "", "no mapping"),
    ],
)
def test_a_damaged_run_is_refused(tmp_path: Path, name: str, content: str, words: str) -> None:
    """Another schema version, a missing field or a broken file is an error of one line that says which."""
    new_run(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(RunError) as caught:
        Run.open(tmp_path)
    assert words in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_examples_come_back_equal(tmp_path: Path) -> None:
    """An example read from the file equals the one written, types of call results included."""
    run = new_run(tmp_path)
    with run.writer() as writer:
        writer.example(example("q1"))
        writer.sync()
    assert Run.open(tmp_path).example("q1") == example("q1")


def test_the_last_row_of_a_question_counts(tmp_path: Path) -> None:
    """A question written twice has its later example, at the place where it first came."""
    run = new_run(tmp_path)
    with run.writer() as writer:
        for question_id, detail in [("q1", "old"), ("q2", ""), ("q1", "new")]:
            writer.example(example(question_id, detail))
    assert list(run.examples()) == ["q1", "q2"]
    assert run.example("q1").detail == "new"


def test_a_question_that_is_not_there_is_named_with_its_neighbours(tmp_path: Path) -> None:
    """Asking for an unknown id is an error of one line that offers the ids that come close."""
    run = new_run(tmp_path)
    with pytest.raises(RunError, match="'Sequence_T1_1'; it has 0 examples"):
        run.example("Sequence_T1_1")
    with run.writer() as writer:
        writer.example(example("Sequence_T1_12"))
    with pytest.raises(RunError, match="'Sequence_T1_1'; did you mean Sequence_T1_12"):
        run.example("Sequence_T1_1")


def test_a_row_that_is_no_example_is_named(tmp_path: Path) -> None:
    """A row without a needed field is an error that names file, line and field."""
    run = new_run(tmp_path)
    with run.writer() as writer:
        writer.example(example("q1"))
    path = tmp_path / "examples.jsonl"
    path.write_text(path.read_text() + '{"question": {"id": "q2"}}\n')
    with pytest.raises(RunError, match=r"examples\.jsonl, line 3: question\.dataset: Field required"):
        run.examples()


def test_calls_are_rows_of_one_shape(tmp_path: Path) -> None:
    """A call comes back with all fields of its row, and a damaged row is an error that names its line."""
    run = new_run(tmp_path)
    row: dict[str, Any] = {
        "key": "k",
        "model": "owlv2",
        "request": {"names": ["cup"]},
        "answer": {"boxes": []},
        "error": None,
        "seconds": 0.25,
        "batch_size": 4,
    }
    with run.writer() as writer:
        writer.call(ModelCall.model_validate(row))
    assert [call.model_dump() for call in run.calls()] == [row]
    assert set(row) == set(ModelCall.model_fields)
    with (run.folder / "calls.jsonl").open("a") as file:
        file.write('{"key": "k", "model": "owlv2"}\n')
    with pytest.raises(RunError, match=r"line 3: request"):
        list(run.calls())


def test_a_run_has_one_writer(tmp_path: Path) -> None:
    """A second writer of a run is refused until the first is done."""
    run = new_run(tmp_path)
    with run.writer(), pytest.raises(JournalError, match="another process"), run.writer():
        pass
    with run.writer() as writer:
        assert writer.torn == {}


def test_a_killed_writer_loses_nothing_that_it_told(tmp_path: Path) -> None:
    """After SIGKILL at a random moment all rows told of are there, in order, and the next writer goes on."""
    run = new_run(tmp_path)
    count = 0
    for _ in range(4):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(count)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(random.randint(1, 300)):
                told = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            told = max([told, *(int(line) for line in process.stdout if line.endswith("\n"))])
        keys = [call.key for call in run.calls()]
        assert keys == [str(n) for n in range(len(keys))]
        assert len(keys) >= told > count
        count = len(keys)


def test_a_torn_row_is_told_to_the_next_writer(tmp_path: Path) -> None:
    """A writer that cut a torn row off says how many bytes of which file."""
    run = new_run(tmp_path)
    with (tmp_path / "calls.jsonl").open("a") as file:
        file.write('{"key": "k"')
    with run.writer() as writer:
        assert writer.torn == {"calls.jsonl": 11}


def fits(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """Check a value against the part of JSON Schema that our records use."""
    if "$ref" in schema:
        return fits(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root)
    if "anyOf" in schema:
        return any(fits(value, option, root) for option in schema["anyOf"])
    if "enum" in schema and value not in schema["enum"]:
        return False
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return isinstance(value, int if kind == "integer" else int | float) and not isinstance(value, bool)
    if kind is not None and not isinstance(value, kinds[kind]):
        return False
    if kind == "array":
        items = schema.get("prefixItems") or [schema.get("items", {})] * len(value)
        sized = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        return sized and all(fits(v, s, root) for v, s in zip(value, items, strict=True))
    if kind == "object":
        known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        rest = [v for k, v in value.items() if k not in known]
        if not set(schema.get("required", [])) <= set(value) or (rest and others is False):
            return False
        allowed = others if isinstance(others, dict) else {}
        return all(fits(v, known.get(k, allowed), root) for k, v in value.items())
    return True


def test_rows_fit_their_published_schemas(tmp_path: Path) -> None:
    """What a run writes fits the JSON Schema of its file; a row with a wrong, lost or new field does not."""
    run = new_run(tmp_path)
    with run.writer() as writer:
        writer.example(example("q1"))
        writer.call(ModelCall(key="k", model="m", request={}, error={"kind": "connection"}))
    schemas = json_schemas()
    written: dict[str, Any] = {
        "examples": json.loads((tmp_path / "examples.jsonl").read_text().splitlines()[1]),
        "calls": json.loads((tmp_path / "calls.jsonl").read_text().splitlines()[1]),
        "manifest": json.loads((tmp_path / "manifest.json").read_text()),
    }
    assert set(schemas) == set(written)
    for name, row in written.items():
        schema = schemas[name]
        assert fits(row, schema, schema), name
        assert not fits(row | {"novel": 1}, schema, schema)
        for field in schema["required"]:
            assert not fits({k: v for k, v in row.items() if k != field}, schema, schema)
    wrong = written["examples"] | {"outcome": "lost"}
    assert not fits(wrong, schemas["examples"], schemas["examples"])
    assert json.loads(json.dumps(schemas)) == schemas
