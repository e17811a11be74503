"""The front of a model: cache, single flight, batches, journal.

Programs run concurrently and ask one request or a few at a time; a model wants many at once. A front joins
what is waiting into one batch, gives equal requests one answer, keeps answers, and hands every new answer
to the journal. It is work-conserving: an idle device takes what is queued, a busy one lets the queue fill.
A request whose fault is the model's own (a lost connection) is asked again and never becomes an answer.
This file knows nothing of what requests mean.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from typing import Final, Generic, NamedTuple, TypeVar

from pydantic import TypeAdapter

from aotd.tools.cache import Cache
from aotd.tools.models import Model, ToolError
from aotd.traces.records import Record
from aotd.traces.runs import ModelCall

__all__ = ["Answered", "Backbone", "Front", "ModelDown"]

RETRIES: Final = 3
"""Times that a request is asked again when the model itself is at fault."""

Request = TypeVar("Request", bound=Record)
Answer = TypeVar("Answer")


class ModelDown(Exception):
    """A model that cannot answer for now: the run stops and can be resumed."""

    def __init__(self, model: str, error: ToolError) -> None:
        super().__init__(
            f"model {model} does not answer ({error.kind}: {error.message}); mend it, then `aotd resume`"
        )


class Answered(NamedTuple, Generic[Answer]):
    """An answer, and whether it was at hand."""

    answer: Answer | ToolError
    cached: bool


class Backbone(NamedTuple):
    """What all fronts of a run share."""

    cache: Cache
    device: Executor
    """The thread that models run on."""
    record: Callable[[ModelCall], None]
    """Takes every new answer to the journal."""
    batch_items: int
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Pause before asking again; tests pass a quick one."""


class Front(Generic[Request, Answer]):
    """One model behind its cache and queue.

    Parameters
    ----------
    model
        The model; its identity is part of every key.
    method
        The model's batched method.
    answers
        The type of an answer, to read it back from the cache.
    backbone
        Cache, device and journal of the run.
    """

    def __init__(
        self,
        model: Model,
        method: Callable[[Sequence[Request]], Sequence[Answer | ToolError]],
        answers: TypeAdapter[Answer | ToolError],
        backbone: Backbone,
    ) -> None:
        self._name = model.identity.id
        self._prefix = model.identity.key.encode()
        self._method = method
        self._answers = answers
        self._backbone = backbone
        self._queue: list[tuple[str, Request]] = []
        self._flights: dict[str, asyncio.Future[Answer | ToolError]] = {}
        self._drain: asyncio.Task[None] | None = None

    async def ask(self, requests: Sequence[Request]) -> list[Answered[Answer]]:
        """Answer the requests, in order.

        Raises
        ------
        ModelDown
            If the model does not answer after several tries.
        """
        waiting: list[Answered[Answer] | asyncio.Future[Answer | ToolError]] = []
        for request in requests:
            key = self._key(request)
            known = self._backbone.cache.get(key)
            if known is not None:
                waiting.append(Answered(self._answers.validate_json(known), cached=True))
                continue
            flight = self._flights.get(key)
            if flight is None:
                flight = asyncio.get_running_loop().create_future()
                self._flights[key] = flight
                self._queue.append((key, request))
            waiting.append(flight)
        if self._queue and (self._drain is None or self._drain.done()):
            self._drain = asyncio.create_task(self._run_queue())
        # Shielded: a question that is cancelled must not take the answer from others that wait for it.
        return [
            w if isinstance(w, Answered) else Answered(await asyncio.shield(w), cached=False) for w in waiting
        ]

    def _key(self, request: Request) -> str:
        return hashlib.sha256(self._prefix + request.model_dump_json().encode()).hexdigest()

    async def _run_queue(self) -> None:
        while self._queue:
            size = self._backbone.batch_items
            batch, self._queue = self._queue[:size], self._queue[size:]
            try:
                answers = await self._answer(batch)
            except BaseException as error:
                # Whatever stops this batch stops everyone who waits for it or queues behind it.
                stopped, self._queue = [*batch, *self._queue], []
                for key, _ in stopped:
                    flight = self._flights.pop(key)
                    if not flight.cancelled():
                        flight.set_exception(error)
                        flight.exception()
                if not isinstance(error, Exception):
                    raise
                return
            for (key, _), answer in zip(batch, answers, strict=True):
                flight = self._flights.pop(key)
                if not flight.cancelled():
                    flight.set_result(answer)

    async def _answer(self, batch: Sequence[tuple[str, Request]]) -> list[Answer | ToolError]:
        answers = await self._call(batch)
        for index, item in enumerate(batch):
            for attempt in range(RETRIES):
                answer = answers[index]
                if not (isinstance(answer, ToolError) and answer.retryable):
                    break
                await self._backbone.wait(0.5 * 2**attempt)
                answers[index] = (await self._call([item]))[0]
            answer = answers[index]
            if isinstance(answer, ToolError) and answer.retryable:
                raise ModelDown(self._name, answer)
        return answers

    async def _call(self, batch: Sequence[tuple[str, Request]]) -> list[Answer | ToolError]:
        begin = time.perf_counter()
        loop = asyncio.get_running_loop()
        requests = [request for _, request in batch]
        answers = list(await loop.run_in_executor(self._backbone.device, self._method, requests))
        if len(answers) != len(batch):
            raise RuntimeError(f"model {self._name} gave {len(answers)} answers to {len(batch)} requests")
        seconds = (time.perf_counter() - begin) / len(batch)
        for (key, request), answer in zip(batch, answers, strict=True):
            if not (isinstance(answer, ToolError) and answer.retryable):
                self._keep(key, request, answer, seconds, len(batch))
        return answers

    def _keep(
        self, key: str, request: Request, answer: Answer | ToolError, seconds: float, size: int
    ) -> None:
        self._backbone.cache.put(key, self._answers.dump_json(answer).decode())
        plain = self._answers.dump_python(answer, mode="json")
        failed = isinstance(answer, ToolError)
        self._backbone.record(
            ModelCall(
                key=key,
                model=self._name,
                request=request.model_dump(mode="json"),
                answer=None if failed else plain,
                error=plain if failed else None,
                seconds=round(seconds, 6),
                batch_size=size,
            )
        )
