"""vLLM in this process's hands: engines that text and video models share, one for each checkpoint and device.

An engine lives in a process of its own, which is started by the first request and ended with the `with`
block. One that dies fails the requests it held as its own fault, and the next ones get a new engine. Nothing
is reported to vLLM's makers. Needs the extra `vllm`; tried with vLLM 0.32. Renders no prompt.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from multiprocessing import active_children, resource_tracker
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from aotd.tools.checkpoints import Checkpoint
from aotd.tools.extras import need_packages
from aotd.tools.loading import UnusableCheckpoint
from aotd.tools.models import ModelIdentity, Reply, ToolError

__all__ = ["VllmAsk", "VllmEngine", "VllmEngines"]

_SILENT: Final = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
_UNLESS_SET: Final = {
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a fork of a process with threads may hang
    "VLLM_LOGGING_LEVEL": "ERROR",
}
_LOOK_SECONDS: Final = 2.0
"""How often a waiting request looks whether its engine lives."""

_END_SECONDS: Final = 10.0
"""Time that an engine has to end by itself."""


class VllmAsk(NamedTuple):
    """One prompt for an engine."""

    prompt: Mapping[str, Any]
    """As vLLM takes it: `prompt_token_ids`, or `prompt` with `multi_modal_data`."""
    max_tokens: int
    choices: tuple[str, ...] | None


class VllmEngine:
    """One checkpoint in vLLM; may be called from many threads, and answers one call at a time.

    Parameters
    ----------
    checkpoint
        Its folder; one with made-up weights gets vLLM's own.
    device
        `cuda:N`, counted among the GPUs that CUDA_VISIBLE_DEVICES leaves, or what this build of vLLM is for.
    dtype
        Such as `bfloat16`.
    memory_share
        Share of the device's memory that vLLM takes.
    context
        Longest prompt and reply, in tokens; None for the checkpoint's own.

    Raises
    ------
    ModuleNotFoundError
        If vLLM is not installed.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, device: str, dtype: str, memory_share: float, context: int | None
    ) -> None:
        need_packages("a model in vLLM", "vllm", "vllm")
        self.checkpoint = checkpoint
        self._device = device
        self._dtype = dtype
        self._memory_share = memory_share
        self._context = context
        self._lock = threading.Lock()
        self._llm: Any = None
        self._processes: list[BaseProcess] = []

    def identity(self, max_tokens: int) -> ModelIdentity:
        """Give the identity of a model whose replies are at most so long."""
        return ModelIdentity(
            id=f"vllm/{self.checkpoint.id}",
            revision=self.checkpoint.revision,
            dtype=self._dtype,
            settings={"context": self._context},
            generation={"temperature": 0.0, "max_tokens": max_tokens, "thinking": False},
        )

    def context(self) -> int:
        """Longest prompt and reply, in tokens."""
        with self._lock:
            longest: int = self._running().model_config.max_model_len
            return longest

    def ask(self, asks: Sequence[VllmAsk]) -> list[Reply | ToolError]:
        """Reply to each prompt, greedily; all are in vLLM's hands at once.

        Raises
        ------
        UnusableCheckpoint
            On first use, if vLLM cannot run the checkpoint here.
        """
        with self._lock:
            return self._ask(self._running(), asks) if asks else []

    def close(self) -> None:
        """End the engine's process; a later request starts a new one."""
        with self._lock:
            self._end()

    def _ask(self, llm: Any, asks: Sequence[VllmAsk]) -> list[Reply | ToolError]:
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError

        prompts, samplings = [dict(ask.prompt) for ask in asks], [_sampling(ask) for ask in asks]
        try:
            outputs = _watched(lambda: llm.generate(prompts, samplings, use_tqdm=False), self._processes)
        except (EngineDeadError, _Lost):
            self._llm = None
            llm.llm_engine.engine_core.shutdown()
            lost = ToolError(
                kind="worker-lost", message="vLLM's engine died (its log says why)", retryable=True
            )
            return [lost] * len(asks)
        except (VLLMClientError, ValueError, TypeError) as error:  # of one prompt; vLLM has dropped them all
            if len(asks) > 1:
                return [answer for ask in asks for answer in self._ask(llm, [ask])]
            return [ToolError(kind="bad-request", message=" ".join(str(error).split())[:300])]
        return [_reply(output) for output in outputs]

    def _end(self) -> None:
        """End the engine, if one runs; the caller holds the lock."""
        llm, self._llm = self._llm, None
        if llm is None:
            return
        llm.llm_engine.engine_core.shutdown()
        for process in self._processes:
            process.join(_END_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()

    def _running(self) -> Any:
        """Start the engine if none runs; the caller holds the lock."""
        if self._llm is None:
            os.environ.update(_UNLESS_SET | dict(os.environ) | _SILENT)  # read when vLLM is imported
            import vllm
            from vllm.exceptions import VLLMError

            others = active_children()
            try:
                with _undisturbed():
                    self._llm = vllm.LLM(str(self.checkpoint.folder), **self._settings())
            except (VLLMError, ValueError, RuntimeError, OSError) as error:
                told = " ".join(str(error).split())[:300]
                raise UnusableCheckpoint(
                    f"vLLM cannot run checkpoint {self.checkpoint.id} ({self.checkpoint.folder}) on "
                    f"{self._device}: {type(error).__name__}: {told}"
                ) from None
            self._processes = [process for process in active_children() if process not in others]
        return self._llm

    def _settings(self) -> dict[str, Any]:
        from vllm.platforms import current_platform

        kind, _, index = self._device.partition(":")
        if kind != current_platform.device_type:
            raise ValueError(
                f"this vLLM is built for {current_platform.device_type}, and the model's device is "
                f"{self._device}"
            )
        return {
            "dtype": self._dtype,
            "max_model_len": self._context,
            "gpu_memory_utilization": self._memory_share,
            "device_ids": None if kind == "cpu" else [int(index or 0)],
            "load_format": "auto" if self.checkpoint.seed is None else "dummy",
            "enforce_eager": kind == "cpu",  # compiling for a processor takes longer than it saves
            "enable_prefix_caching": True,
            "seed": self.checkpoint.seed or 0,
        }


class VllmEngines:
    """The engines of a run, each started at most once; ended with the `with` block."""

    def __init__(self) -> None:
        self._engines: dict[tuple[object, ...], tuple[VllmEngine, dict[str, object]]] = {}

    def engine(
        self, checkpoint: Checkpoint, *, device: str, dtype: str, memory_share: float, context: int | None
    ) -> VllmEngine:
        """Give the engine of a checkpoint on a device; parameters as `VllmEngine`.

        Raises
        ------
        ValueError
            If two models that would share it want it otherwise.
        ModuleNotFoundError
            If vLLM is not installed.
        """
        key = checkpoint, device, dtype
        wanted: dict[str, object] = {"memory_share": memory_share, "context": context}
        if key not in self._engines:
            made = VllmEngine(
                checkpoint, device=device, dtype=dtype, memory_share=memory_share, context=context
            )
            self._engines[key] = made, wanted
        engine, settings = self._engines[key]
        for name, value in wanted.items():
            if settings[name] != value:
                raise ValueError(
                    f"two models share {checkpoint.id} in vLLM on {device} and set {name} to "
                    f"{settings[name]} and {value}: set one value"
                )
        return engine

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for engine, _ in self._engines.values():
            engine.close()


def _sampling(ask: VllmAsk) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    held = None if ask.choices is None else StructuredOutputsParams(choice=list(ask.choices))
    return SamplingParams(temperature=0.0, max_tokens=ask.max_tokens, structured_outputs=held)


def _reply(output: Any) -> Reply:
    (said,) = output.outputs
    return Reply(
        text=said.text,
        truncated=said.finish_reason == "length",
        prompt_tokens=len(output.prompt_token_ids),
        reply_tokens=len(said.token_ids),
    )


class _Lost(Exception):
    """A process that is needed has ended."""


def _watched(work: Callable[[], list[Any]], processes: Sequence[BaseProcess]) -> list[Any]:
    """Do work that needs processes, and give it up when one has ended: vLLM may wait for it for ever."""
    done: Future[list[Any]] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised below, where it is waited for
            done.set_exception(error)

    threading.Thread(target=run, name="vllm", daemon=True).start()
    ended = False
    while not wait([done], timeout=_LOOK_SECONDS).done:
        if ended:  # and vLLM has had a look's time to say so itself
            raise _Lost
        ended = not all(process.is_alive() for process in processes)
    return done.result()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep Ctrl-C from processes that are started inside: an interrupted run finishes what it holds."""
    resource_tracker.ensure_running()  # else its start takes the block away
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
