"""The front of a model: cache, single flight, batches, journal.

Programs run concurrently and ask one request or a few at a time; a model wants many at once. A front joins
what is waiting into one batch, gives equal requests one answer, keeps answers, and hands every new answer
to the journal. It is work-conserving: an idle device takes what is queued, a busy one lets the queue fill;
who asks for more than the queue takes has to wait. A batch that does not fit into memory is halved; what
fails for the model's own fault is asked again alone and never becomes an answer. This file knows nothing of
what requests mean. Whose turn it is on the device is `aotd.tools.device`; how long to insist,
`aotd.tools.retries`. Why it is so: docs/design/batching.md.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, NamedTuple, TypeVar

from pydantic import TypeAdapter

from aotd.tools.cache import Cache
from aotd.tools.device import Device
from aotd.tools.models import Model, ToolError
from aotd.tools.retries import ModelDown, Patience, insist, out_of_memory, retryable
from aotd.traces.records import Record
from aotd.traces.runs import ModelCall

__all__ = ["Answered", "Backbone", "Front", "FrontCounts", "ModelDown"]

OUT_OF_MEMORY: Final = "out-of-memory"
"""Kind of the retryable error with which a model says that a batch did not fit."""

Request = TypeVar("Request", bound=Record)
Answer = TypeVar("Answer")


class Answered(NamedTuple, Generic[Answer]):
    """An answer, and whether it was at hand."""

    answer: Answer | ToolError
    cached: bool


@dataclass(frozen=True)
class Backbone:
    """What fronts share; `dataclasses.replace` gives a model another batch size or device."""

    cache: Cache
    device: Device
    """Where the model runs."""
    record: Callable[[ModelCall], None]
    """Takes every new answer to the journal."""
    batch_items: int
    """Requests that the model gets at once, at most."""
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Pause before asking again, in seconds; tests pass a quick one."""
    patience: float = 60.0
    """Seconds of pauses before a model that answers nothing counts as down."""


class FrontCounts(NamedTuple):
    """What one model was asked and what it took."""

    model: str
    requests: int = 0
    """Asked by programs."""
    cached: int = 0
    """Of these, answered from the cache."""
    joined: int = 0
    """Of these, joined to an equal request that was under way."""
    batches: int = 0
    """Calls of the model, retries and probes among them."""
    largest: int = 0
    """Requests in the largest batch that fitted into memory."""
    retries: int = 0
    """Requests asked alone because of the model's own fault, probes among them."""
    halvings: int = 0
    """Times that a batch did not fit into memory."""
    batch_items: int = 0
    """Largest batch still tried; less than configured after halvings."""
    seconds: float = 0.0
    """Time that the model took, summed over its lanes."""


class _Item(NamedTuple, Generic[Request]):
    key: str
    request: Request


class _Ran(NamedTuple, Generic[Answer]):
    answers: Sequence[Answer | ToolError]
    seconds: float


class Front(Generic[Request, Answer]):
    """One model behind its cache and queue; for use by one event loop.

    Parameters
    ----------
    model
        The model; its identity is part of every key.
    method
        The model's batched method.
    answers
        The type of an answer, to read it back from the cache.
    backbone
        Cache, device and journal.
    """

    def __init__(
        self,
        model: Model,
        method: Callable[[Sequence[Request]], Sequence[Answer | ToolError]],
        answers: TypeAdapter[Answer | ToolError],
        backbone: Backbone,
    ) -> None:
        self._identity = model.identity
        self._prefix = model.identity.key
        self._method = method
        self._answers = answers
        self._backbone = backbone
        self._size = backbone.batch_items
        self._most = 2 * backbone.batch_items * backbone.device.lanes
        """Queued requests from which on askers wait."""
        self._tally: Counter[str] = Counter()
        self._largest = 0
        self._seconds = 0.0
        self._flights: dict[str, asyncio.Future[Answer | ToolError]] = {}
        self._queue: deque[_Item[Request]] = deque()
        self._room = asyncio.Event()
        self._pumps: set[asyncio.Task[None]] = set()
        self._busy = 0
        self._failed: deque[_Item[Request]] = deque()
        """Requests that failed for the model's own fault, to be asked alone."""
        self._sound = asyncio.Event()
        """Clear while one pump finds out what is wrong; the others wait for what it finds."""
        self._sound.set()
        self._proven: _Item[Request] | None = None
        """The last request that was answered: the probe."""
        self._stopped: Exception | None = None

    @property
    def fill(self) -> float:
        """Waiting requests over the batch size."""
        return len(self._queue) / self._size

    @property
    def counts(self) -> FrontCounts:
        """What the model was asked so far and what it took."""
        tally = self._tally
        return FrontCounts(
            model=self._identity.id,
            requests=tally["requests"],
            cached=tally["cached"],
            joined=tally["joined"],
            batches=tally["batches"],
            largest=self._largest,
            retries=tally["retries"],
            halvings=tally["halvings"],
            batch_items=self._size,
            seconds=self._seconds,
        )

    async def ask(self, requests: Sequence[Request], *, context: str = "") -> list[Answered[Answer]]:
        """Answer the requests, in order; waits while the queue is full.

        Parameters
        ----------
        requests
            May be more than the queue takes.
        context
            Question and step, such as `q17/3`: a sampled model's answer belongs to it and is not shared.
            Other models leave it out of account.

        Raises
        ------
        ModelDown
            If the model does not answer; from then on every call raises it.
        ValueError
            If a sampled model is asked without a context.
        """
        items = [_Item(self._key(request, context), request) for request in requests]
        while len(self._queue) >= self._most and not all(map(self._at_hand, items)):
            self._room.clear()
            await self._room.wait()
        if self._stopped is not None:
            raise self._stopped
        waiting = [self._look_up(item) for item in items]
        self._start_pumps()
        # Shielded: a question that is cancelled must not take the answer from others that wait for it.
        return [
            w if isinstance(w, Answered) else Answered(await asyncio.shield(w), cached=False) for w in waiting
        ]

    def _key(self, request: Request, context: str) -> str:
        if self._identity.sampled and not context:
            raise ValueError(f"{self._identity.id} draws its answers: give question and step as context")
        owner = f"{context}\n" if self._identity.sampled else ""
        return hashlib.sha256(f"{self._prefix}{owner}{request.model_dump_json()}".encode()).hexdigest()

    def _at_hand(self, item: _Item[Request]) -> bool:
        return item.key in self._flights or self._backbone.cache.get(item.key) is not None

    def _look_up(self, item: _Item[Request]) -> Answered[Answer] | asyncio.Future[Answer | ToolError]:
        """Find the answer, or what will be the answer; a new request joins the queue."""
        flight = self._flights.get(item.key)
        known = self._backbone.cache.get(item.key) if flight is None else None
        self._tally.update(requests=1, joined=flight is not None, cached=known is not None)
        if known is not None:
            return Answered(self._answers.validate_json(known), cached=True)
        if flight is None:
            flight = self._flights[item.key] = asyncio.get_running_loop().create_future()
            self._queue.append(item)
        return flight

    def _start_pumps(self) -> None:
        wanted = min(self._backbone.device.lanes, self._busy + math.ceil(self.fill))
        for _ in range(wanted - sum(not pump.done() for pump in self._pumps)):
            pump = asyncio.create_task(self._pump())
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self) -> None:
        """Carry batches to the device until the queue is empty."""
        try:
            while self._queue:
                await self._sound.wait()
                async with self._backbone.device.turn(self):
                    # Only now, on the device, so that the batch is as full as it can be.
                    batch = self._take()
                    ran = await self._call(batch) if batch else _Ran((), 0.0)
                self._sort(batch, ran)
                if self._failed and self._sound.is_set():
                    await self._recover()
        except BaseException as error:
            self._stop(error)
            if not isinstance(error, Exception):
                raise

    def _take(self) -> list[_Item[Request]]:
        batch = [self._queue.popleft() for _ in range(min(self._size, len(self._queue)))]
        self._room.set()
        return batch

    def _sort(self, batch: Sequence[_Item[Request]], ran: _Ran[Answer]) -> None:
        """Deliver the answers; put aside what failed for the model's own fault."""
        if len(batch) > 1 and all(map(_did_not_fit, ran.answers)):
            self._size = min(self._size, len(batch) // 2)
            self._tally["halvings"] += 1
            self._queue.extendleft(reversed(batch))
            self._start_pumps()
            return
        self._largest = max(self._largest, len(batch))
        for item, answer in zip(batch, ran.answers, strict=True):
            if retryable(answer):
                self._failed.append(item)
            else:
                self._deliver(item, answer, ran.seconds / len(batch), len(batch))

    async def _recover(self) -> None:
        """Settle what failed, one request after another, while the other lanes rest."""
        self._sound.clear()
        patience = Patience(self._backbone.patience, self._backbone.wait)
        try:
            while self._failed:
                item = self._failed.popleft()
                answer = await insist(self._identity.id, partial(self._alone, item), self._probe, patience)
                if item.key in self._flights:  # not delivered: it is the request's own error now
                    self._deliver(item, answer, 0.0, 1)
        finally:
            self._sound.set()

    async def _alone(self, item: _Item[Request]) -> Answer | ToolError:
        self._tally["retries"] += 1
        async with self._backbone.device.turn(self):
            ran = await self._call([item])
        answer = ran.answers[0]
        if not retryable(answer):
            self._deliver(item, answer, ran.seconds, 1)
        return answer

    async def _probe(self) -> bool:
        """Ask again what was answered last; with nothing to go by, the model is not trusted."""
        if self._proven is None:
            return False
        self._tally["retries"] += 1
        async with self._backbone.device.turn(self):
            ran = await self._call([self._proven])
        return not retryable(ran.answers[0])

    async def _call(self, batch: Sequence[_Item[Request]]) -> _Ran[Answer]:
        """Run the model on its threads; the caller holds the turn."""
        loop = asyncio.get_running_loop()
        self._busy += 1
        begin = loop.time()
        try:
            requests = [item.request for item in batch]
            answers = await loop.run_in_executor(self._backbone.device.threads, self._run, requests)
        finally:
            self._busy -= 1
        seconds = loop.time() - begin
        self._tally["batches"] += 1
        self._seconds += seconds
        if len(answers) != len(batch):
            raise RuntimeError(
                f"model {self._identity.id} gave {len(answers)} answers to {len(batch)} requests"
            )
        return _Ran(answers, seconds)

    def _run(self, requests: Sequence[Request]) -> Sequence[Answer | ToolError]:
        """Call the model; memory that ran out is an answer, so that what it held is let go here."""
        try:
            return self._method(requests)
        except Exception as error:
            if not out_of_memory(error):
                raise
            failed = ToolError(kind=OUT_OF_MEMORY, message=str(error)[:300], retryable=True)
            return [failed] * len(requests)

    def _deliver(self, item: _Item[Request], answer: Answer | ToolError, seconds: float, size: int) -> None:
        """Keep and journal an answer, then give it to those who wait for it."""
        self._backbone.cache.put(item.key, self._answers.dump_json(answer))
        plain = self._answers.dump_python(answer, mode="json")
        failed = isinstance(answer, ToolError)
        if not failed:
            self._proven = item
        self._backbone.record(
            ModelCall(
                key=item.key,
                model=self._identity.id,
                request=item.request.model_dump(mode="json"),
                answer=None if failed else plain,
                error=plain if failed else None,
                seconds=round(seconds, 6),
                batch_size=size,
            )
        )
        flight = self._flights.pop(item.key, None)
        if flight is not None and not flight.cancelled():
            flight.set_result(answer)

    def _stop(self, error: BaseException) -> None:
        """Whatever stops the front stops everyone who waits for it or asks it later."""
        flights = list(self._flights.values())
        self._flights.clear()
        self._queue.clear()
        self._failed.clear()
        if isinstance(error, Exception):
            self._stopped = error
        for flight in flights:
            if not isinstance(error, Exception):
                flight.cancel()
            elif not flight.cancelled():
                flight.set_exception(error)
                flight.exception()  # seen: an asker that was cancelled never will
        self._room.set()


def _did_not_fit(answer: object) -> bool:
    return isinstance(answer, ToolError) and answer.retryable and answer.kind == OUT_OF_MEMORY
