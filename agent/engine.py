"""Compose a pipeline from a run's settings, by hand: planner, tools, sandbox, writer, judges.

Threads, processes and connections live as long as the `with` block. Loads no questions and writes no file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from aotd.agent.config import PlannerConfig, RunConfig, SourceConfig, WriterConfig
from aotd.agent.equip import Means, equip
from aotd.agent.grammar import GrammarPlanner
from aotd.agent.judge import AnswerJudge, Judge
from aotd.agent.llm_planner import LlmPlanner
from aotd.agent.pipeline import Pipeline
from aotd.agent.plan import Planner, RecordedPlanner
from aotd.agent.run import Runner
from aotd.agent.sandbox.backend import Backend, Limits
from aotd.agent.sandbox.host import Sandbox
from aotd.agent.tell import Teller
from aotd.agent.text_models import TextModels
from aotd.agent.write import TemplateWriter, Writer
from aotd.prompts.loader import Templates
from aotd.tools.batching import Backbone
from aotd.tools.build import Models, Places, Toolbox
from aotd.tools.cache import Cache
from aotd.tools.device import Devices
from aotd.tools.dry_run import with_random_weights
from aotd.tools.frames import FrameStore
from aotd.tools.library import Library
from aotd.tools.memory import check_memory, needs
from aotd.tools.video import PYAV
from aotd.tools.vllm_engine import VllmEngines
from aotd.traces.records import Provenance
from aotd.traces.runs import ModelCall

__all__ = ["engine", "open_sandbox"]


@contextmanager
def engine(
    config: RunConfig,
    planner: Planner | None,
    cache: Cache,
    record: Callable[[ModelCall], None],
    models: Models | None = None,
) -> Iterator[Pipeline]:
    """Compose the pipeline of a run.

    Parameters
    ----------
    config
        The run's settings.
    planner
        Writes the programs; None for the configured one.
    cache
        Model answers that are known already.
    record
        Takes every new model answer to the journal.
    models
        Models to use instead of the configured ones.

    Raises
    ------
    ValueError
        If the settings lack something, such as the server of a language model.
    """
    with ExitStack() as stack:
        digest = config.digest
        check_memory(needs(config, config.text_roles))
        if config.random_weights is not None:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="aotd-")))
            config = with_random_weights(config, config.random_weights, folder)
        sandbox = stack.enter_context(open_sandbox(config.sandbox, config.workers))
        threads = stack.enter_context(ThreadPoolExecutor(config.workers, "sandbox"))
        devices = stack.enter_context(Devices())
        backbone = _backbone(config, cache, record, devices)
        templates = Templates(config.prompts.model_dump(exclude_none=True))
        engines = stack.enter_context(VllmEngines())
        texts = stack.enter_context(TextModels(config.text, backbone, devices.of, config.device, engines))
        library = _library(config.source)
        frames = FrameStore(library, config.frames_mb * 1_000_000) if library else None
        means = Means(config, backbone, devices, engines, texts, templates, frames)
        toolbox = equip(means) if models is None else Toolbox(config, models, Places.all_at(backbone))
        staff = _staff(config, planner, texts, templates)
        yield Pipeline(
            planner=staff.planner,
            toolbox=toolbox,
            runner=Runner(sandbox, threads),
            teller=Teller(
                staff.writer, staff.judge, config.allow_future, made_up=config.random_weights is not None
            ),
            answer_judge=staff.answer_judge,
            library=library,
            frames=frames,
            provenance=_provenance(digest, toolbox, staff),
            future=toolbox.reads_graphs and config.oracle.future,
            repairs=config.repairs,
            live_programs=config.live_programs,
        )


def open_sandbox(limits: Limits, workers: int) -> AbstractContextManager[Backend]:
    """Make the sandbox that the settings name; it runs nothing before it is entered."""
    if limits.backend == "process":
        return Sandbox(limits, workers=workers)
    from aotd.agent.sandbox.monty import MontySandbox

    return MontySandbox(limits, workers=workers)


class _Staff(NamedTuple):
    """Who plans, tells and judges."""

    planner: Planner
    writer: Writer
    judge: Judge | None
    answer_judge: AnswerJudge | None


def _staff(config: RunConfig, planner: Planner | None, texts: TextModels, templates: Templates) -> _Staff:
    judge, answer_judge = _judges(config, texts, templates)
    return _Staff(
        planner=planner or _planner(config.planner, texts, templates),
        writer=_writer(config.writer, texts, templates),
        judge=judge,
        answer_judge=answer_judge,
    )


def _backbone(
    config: RunConfig, cache: Cache, record: Callable[[ModelCall], None], devices: Devices
) -> Backbone:
    """Place what needs no device: oracles and rules."""
    settings = config.functions
    place = devices.of("annotation")
    return Backbone(cache, place, record, settings.batch_items, patience=settings.patience_seconds)


def _provenance(digest: str, toolbox: Toolbox, staff: _Staff) -> Provenance:
    """Say what a run's examples are made with."""
    asked = {role: part for role, part in staff._asdict().items() if part is not None}
    roles = {role: part.identity for role, part in asked.items()}
    prompts = {
        f"{role}/{name}": sha256 for role, part in asked.items() for name, sha256 in part.prompts.items()
    }
    models = {**toolbox.identities(), **roles}
    return Provenance(run=digest, models=models, prompts={**toolbox.prompts(), **prompts})


def _planner(config: PlannerConfig, texts: TextModels, templates: Templates) -> Planner:
    if config.kind == "llm":
        return LlmPlanner(texts.role("planner"), templates)
    if config.kind == "grammar":
        return GrammarPlanner()
    if config.path is None:
        raise ValueError("planner.kind=recorded needs planner.path=FILE, a JSONL of question_id and source")
    try:
        return RecordedPlanner(Path(config.path))
    except OSError as error:
        raise ValueError(f"cannot read recorded programs {config.path}: {error.strerror}") from None


def _writer(config: WriterConfig, texts: TextModels, templates: Templates) -> Writer:
    if config.kind == "template":
        return TemplateWriter()
    from aotd.agent.llm_writer import LlmWriter

    return LlmWriter(texts.role("writer"), templates)


def _judges(
    config: RunConfig, texts: TextModels, templates: Templates
) -> tuple[Judge | None, AnswerJudge | None]:
    if config.judge.kind == "none":
        return None, None
    from aotd.agent.judge import LlmAnswerJudge, LlmJudge

    role = texts.role("judge")
    judge = LlmJudge(role, show_gold=config.judge.show_gold, templates=templates)
    return judge, LlmAnswerJudge(role, templates)


def _library(source: SourceConfig) -> Library | None:
    if source.videos is None:
        return None
    reader = PYAV
    if source.reader == "decord":
        from aotd.tools.decord_reader import decord_reader

        reader = decord_reader()
    return Library(Path(source.videos), Path(source.annotations).parent, reader)
