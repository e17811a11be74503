"""The folder of a run: its configuration, its manifest, the examples it made and the answers of its models.

    config.yaml      the configuration as it was run; never a secret
    manifest.json    what the run was made with
    examples.jsonl   one `Example` per row; the last row of a question counts
    calls.jsonl      one `ModelCall` per row: the truth from which any index of answers is rebuilt

This file reads and writes that folder. It runs nothing, draws no views, and changes neither config nor
manifest once they are written, but for the usage of language models.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import json
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import yaml
from pydantic import JsonValue, ValidationError

from aotd.traces.journal import Journal, read_journal
from aotd.traces.records import SCHEMA_VERSION, Example, Record

__all__ = [
    "Annotation",
    "Manifest",
    "ModelCall",
    "Run",
    "RunError",
    "RunWriter",
    "new_manifest",
    "software",
]

_PACKAGES: Final = (
    "aotd",
    "av",
    "numpy",
    "openai",
    "pillow",
    "pydantic",
    "RestrictedPython",
    "torch",
    "transformers",
)

_SECRET: Final = re.compile(
    r"(^|_)(api_?key|(access|private|secret)_?key|secret|token|pass(word|wd|phrase)|credentials?|authorization)$"
)
"""Ends of key names that hold secrets: `hf_token`, but not `max_tokens` nor `api_key_env`."""

_PASSWORD_IN_URL: Final = re.compile(r"://[^/@\s]*:[^/@\s]+@")


class RunError(Exception):
    """A folder that is no run or cannot become one, or a question that it lacks, told in one line."""


class ModelCall(Record):
    """One answered request to a model: the row of `calls.jsonl`."""

    key: str
    """Cache key: hash of the model's identity and the request."""
    model: str
    """The model's id."""
    request: dict[str, JsonValue]
    answer: JsonValue = None
    error: dict[str, JsonValue] | None = None
    """Why there is no answer."""
    seconds: float = 0.0
    batch_size: int = 1


class Annotation(Record):
    """The file that the questions came from."""

    name: str
    sha256: str


class Manifest(Record):
    """What a run was made with."""

    schema_version: int = SCHEMA_VERSION
    created: str
    """ISO 8601, UTC."""
    software: dict[str, str]
    """Version by package, and of Python."""
    revision: str | None = None
    """Git revision of the source tree, ending in `-dirty` if it was changed; None outside a tree."""
    models: dict[str, JsonValue] = {}
    """Model identity by role."""
    prompts: dict[str, str] = {}
    """Prompt hash by name."""
    seeds: dict[str, int] = {}
    config_hash: str
    annotation: Annotation | None = None
    counts: dict[str, int] = {}
    """What was read, such as questions."""
    usage: dict[str, JsonValue] = {}
    """Requests, tokens, seconds and cost of language models by role, over all sittings so far."""


def new_manifest(
    config_hash: str,
    *,
    models: Mapping[str, JsonValue],
    prompts: Mapping[str, str],
    seeds: Mapping[str, int],
    annotation: Path | None,
    counts: Mapping[str, int],
) -> Manifest:
    """Write down what a run that starts now is made with; see `Manifest` for the parts.

    Raises
    ------
    OSError
        When the annotation cannot be read.
    """
    source = None
    if annotation is not None:
        with annotation.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        source = Annotation(name=annotation.name, sha256=digest)
    return Manifest(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        software=software(),
        revision=_revision(Path(__file__).resolve().parents[1]),
        models=dict(models),
        prompts=dict(prompts),
        seeds=dict(seeds),
        config_hash=config_hash,
        annotation=source,
        counts=dict(counts),
    )


@dataclass(frozen=True)
class Run:
    """A run's folder, opened for reading; `writer` writes to it."""

    folder: Path
    config: Mapping[str, JsonValue]
    manifest: Manifest

    @classmethod
    def create(cls, folder: Path, config: Mapping[str, JsonValue], manifest: Manifest) -> Self:
        """Start a run in a new or empty folder.

        Raises
        ------
        RunError
            When the folder holds anything, cannot be made or written, or the configuration holds a secret.
        """
        _refuse_secrets(config, "")
        text = yaml.safe_dump(dict(config), sort_keys=False)  # escaped: PyYAML loses some bare Unicode
        if _manifest_path(folder).exists():
            raise RunError(f"{folder} already holds a run; go on with it by `aotd resume {folder}`")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise RunError(f"{folder} is not empty and holds no run; give a new folder")
            (folder / "config.yaml").write_text(text, encoding="ascii")
            run = cls(folder, config, manifest)
            with run.writer():
                pass
            _write_manifest(folder, manifest)  # last: a folder with a manifest is a run
        except OSError as error:
            raise RunError(f"{folder}: a run cannot be written here: {error.strerror}") from error
        return run

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open an existing run.

        Raises
        ------
        RunError
            When there is no folder or no run in it, or the run was written under another schema version.
        """
        try:
            raw = json.loads(_manifest_path(folder).read_bytes())
            config = yaml.safe_load((folder / "config.yaml").read_bytes())
        except FileNotFoundError as error:
            lack = f"lacks {Path(error.filename).name}" if folder.is_dir() else "does not exist"
            raise RunError(f"{folder} {lack}: give the folder of a run") from error
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise RunError(f"{folder} cannot be read as a run: {' '.join(str(error).split())}") from error
        if not (isinstance(raw, dict) and isinstance(config, dict)):
            raise RunError(f"{folder}: manifest.json or config.yaml holds no mapping; restore the file")
        version = raw.get("schema_version")
        if version != SCHEMA_VERSION:
            raise RunError(
                f"{folder}: the run has schema version {version!r}, but this aotd reads version "
                f"{SCHEMA_VERSION}; use the aotd that wrote it, or start a new run"
            )
        try:
            return cls(folder, config, Manifest.model_validate(raw))
        except ValidationError as error:
            raise RunError(f"{_manifest_path(folder)}: {_first(error)}; restore the file") from error

    def examples(self) -> dict[str, Example]:
        """Read the examples by question id, in the order in which the ids first came; the last row counts.

        Raises
        ------
        JournalError
            When `examples.jsonl` is damaged.
        RunError
            When a row is no example.
        """
        path = self.folder / "examples.jsonl"
        examples: dict[str, Example] = {}
        for number, row in enumerate(read_journal(path, "examples"), start=2):
            try:
                example = Example.model_validate(row)
            except ValidationError as error:
                raise RunError(
                    f"{path}, line {number}: {_first(error)}; delete this line and resume the run"
                ) from error
            examples[example.question.id] = example
        return examples

    def example(self, question_id: str) -> Example:
        """Read one example; a RunError names the ids that come close when it is not there."""
        examples = self.examples()
        if question_id in examples:
            return examples[question_id]
        close = difflib.get_close_matches(question_id, examples, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"it has {len(examples)} examples"
        raise RunError(f"{self.folder} has no example of question {question_id!r}; {hint}")

    def _repr_html_(self) -> str:
        """Show the figures and the first questions in a notebook; errors as `examples`."""
        from aotd.traces.index_page import run_fragment

        return run_fragment(self.examples().values(), title=self.folder.resolve().name)

    def calls(self) -> Iterator[ModelCall]:
        """Read the rows of `calls.jsonl` in order; errors as `examples`."""
        path = self.folder / "calls.jsonl"
        for number, row in enumerate(read_journal(path, "calls"), start=2):
            try:
                yield ModelCall.model_validate(row)
            except ValidationError as error:
                raise RunError(f"{path}, line {number}: {_first(error)}; delete this line") from error

    def write_usage(self, usage: Mapping[str, Record]) -> None:
        """Put the language models' usage into the manifest, in place of what stood there."""
        told = {role: used.model_dump(mode="json") for role, used in usage.items()}
        try:
            _write_manifest(self.folder, self.manifest.model_copy(update={"usage": told}))
        except OSError as error:
            raise RunError(f"{self.folder}: the manifest cannot be written: {error.strerror}") from error

    @contextmanager
    def writer(self) -> Iterator[RunWriter]:
        """Open the run for its one writer; a JournalError says so if another process is writing it."""
        with (
            Journal(self.folder / "examples.jsonl", "examples") as examples,
            Journal(self.folder / "calls.jsonl", "calls") as calls,
        ):
            yield RunWriter(examples, calls)


class RunWriter:
    """Adds rows to a run; for use by one thread."""

    def __init__(self, examples: Journal, calls: Journal) -> None:
        self._examples = examples
        self._calls = calls

    @property
    def torn(self) -> dict[str, int]:
        """Bytes of torn last lines that were cut off on opening, by file; empty after a clean end."""
        return {j.path.name: j.torn for j in (self._examples, self._calls) if j.torn}

    def example(self, example: Example) -> None:
        """Add an example; it replaces earlier ones of its question."""
        self._examples.append(example.model_dump(mode="json"))

    def call(self, call: ModelCall) -> None:
        """Add an answered request."""
        self._calls.append(call.model_dump(mode="json"))

    def sync(self) -> None:
        """Wait until all rows are on the disk, the calls first: no example outlives its calls."""
        self._calls.sync()
        self._examples.sync()


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it whole or not at all."""
    draft = folder / "manifest.json.part"
    draft.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    draft.replace(_manifest_path(folder))


def _manifest_path(folder: Path) -> Path:
    """Name the file that makes a folder a run."""
    return folder / "manifest.json"


def _first(error: ValidationError) -> str:
    """Tell the first fault in one line, by field."""
    fault = error.errors()[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"


def _refuse_secrets(value: JsonValue | Mapping[str, JsonValue], name: str) -> None:
    """Raise on a key that names a secret and has a value, and on a password in a URL."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            path = f"{name}.{key}".removeprefix(".")
            words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(key)).lower().replace("-", "_")
            if _SECRET.search(words) and inner is not None:
                raise RunError(
                    f"config key {path} looks like a secret, which a run never writes: leave it out and set "
                    "an environment variable"
                )
            _refuse_secrets(inner, path)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _refuse_secrets(inner, f"{name}.{index}")
    elif isinstance(value, str) and _PASSWORD_IN_URL.search(value):
        raise RunError(
            f"config key {name} holds a URL with a password, which a run never writes: leave it out"
        )


def software() -> dict[str, str]:
    """Versions of Python and of the packages that matter here."""
    """Read the versions of Python and of the packages that are installed."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _revision(tree: Path) -> str | None:
    """Ask git for the revision of the source tree, not of whatever tree an installed copy may lie in."""
    if not (tree / ".git").exists():
        return None
    command = ["git", "-C", str(tree), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
