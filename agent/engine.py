"""Compose a pipeline from a run's settings, by hand: planner, tools, sandbox, writer, judges.

Threads, processes and connections live as long as the `with` block. Loads no questions and writes no file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from aotd.agent.config import PlannerConfig, RunConfig, SourceConfig, WriterConfig
from aotd.agent.grammar import GrammarPlanner
from aotd.agent.judge import AnswerJudge, Judge
from aotd.agent.llm_planner import LlmPlanner
from aotd.agent.pipeline import Pipeline
from aotd.agent.plan import Planner, RecordedPlanner
from aotd.agent.run import Runner
from aotd.agent.sandbox.host import Sandbox
from aotd.agent.servers import Servers
from aotd.agent.tell import Teller
from aotd.agent.write import TemplateWriter, Writer
from aotd.tools.batching import Backbone
from aotd.tools.build import Models, Toolbox
from aotd.tools.cache import Cache
from aotd.tools.device import Device
from aotd.tools.library import Library
from aotd.tools.selector import RuleSelector
from aotd.tools.video import PYAV
from aotd.traces.records import Provenance
from aotd.traces.runs import ModelCall

__all__ = ["engine"]


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
        sandbox = stack.enter_context(Sandbox(config.sandbox, workers=config.workers))
        threads = stack.enter_context(ThreadPoolExecutor(config.workers, "sandbox"))
        device = Device(stack.enter_context(ThreadPoolExecutor(1, "device")))
        settings = config.functions
        backbone = Backbone(cache, device, record, settings.batch_items, patience=settings.patience_seconds)
        servers = stack.enter_context(Servers(config.text, backbone))
        toolbox = _toolbox(config, backbone, servers, models)
        planner = planner or _planner(config.planner, servers)
        writer = _writer(config.writer, servers)
        judge, answer_judge = _judges(config, servers)
        asked: dict[str, Planner | Writer | Judge | AnswerJudge | None] = {
            "planner": planner,
            "writer": writer,
            "judge": judge,
            "answer_judge": answer_judge,
        }
        yield Pipeline(
            planner=planner,
            toolbox=toolbox,
            runner=Runner(sandbox, threads),
            teller=Teller(writer, judge, config.allow_future),
            answer_judge=answer_judge,
            library=_library(config.source),
            provenance=_provenance(config, toolbox, {k: part for k, part in asked.items() if part}),
            future=toolbox.reads_graphs and config.oracle.future,
            repairs=config.repairs,
            live_programs=config.live_programs,
        )


def _provenance(
    config: RunConfig, toolbox: Toolbox, asked: Mapping[str, Planner | Writer | Judge | AnswerJudge]
) -> Provenance:
    """Say what a run's examples are made with."""
    roles = {role: part.identity for role, part in asked.items()}
    prompts = {
        f"{role}/{name}": digest for role, part in asked.items() for name, digest in part.prompts.items()
    }
    return Provenance(run=config.digest, models={**toolbox.identities(), **roles}, prompts=prompts)


def _planner(config: PlannerConfig, servers: Servers) -> Planner:
    if config.kind == "llm":
        return LlmPlanner(servers.role("planner"))
    if config.kind == "grammar":
        return GrammarPlanner()
    if config.path is None:
        raise ValueError("planner.kind=recorded needs planner.path=FILE, a JSONL of question_id and source")
    try:
        return RecordedPlanner(Path(config.path))
    except OSError as error:
        raise ValueError(f"cannot read recorded programs {config.path}: {error.strerror}") from None


def _writer(config: WriterConfig, servers: Servers) -> Writer:
    if config.kind == "template":
        return TemplateWriter()
    from aotd.agent.llm_writer import LlmWriter

    return LlmWriter(servers.role("writer"))


def _toolbox(config: RunConfig, backbone: Backbone, servers: Servers, models: Models | None) -> Toolbox:
    if models is not None or config.selector.kind == "rule":
        return Toolbox(config, backbone, models or Models(None, None, None, RuleSelector()))
    from aotd.tools.llm_selector import LlmSelector

    selector = LlmSelector(servers.model("selector"))
    return Toolbox(
        config, backbone, Models(None, None, None, selector), selects_on=servers.backbone("selector")
    )


def _judges(config: RunConfig, servers: Servers) -> tuple[Judge | None, AnswerJudge | None]:
    if config.judge.kind == "none":
        return None, None
    from aotd.agent.judge import LlmAnswerJudge, LlmJudge

    role = servers.role("judge")
    return LlmJudge(role, show_gold=config.judge.show_gold), LlmAnswerJudge(role)


def _library(source: SourceConfig) -> Library | None:
    if source.videos is None:
        return None
    reader = PYAV
    if source.reader == "decord":
        from aotd.tools.decord_reader import decord_reader

        reader = decord_reader()
    return Library(Path(source.videos), Path(source.annotations).parent, reader)
