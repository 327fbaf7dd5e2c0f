"""The steps of a task at which the server is killed, and how each one is reached from outside.

A step posts the tasks that it needs. It returns True when the server has reached the step, and
False after a timeout. Most steps hold the provider's response, so the server stays at the step
until it is killed. The sweeps wait for a random time instead, within a span in which much happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from enum import StrEnum

from tests.faults.observed_emulator import Exchange, Operation, Phase
from tests.faults.server_run import ServerRun
from tests.faults.task_kinds import Kind, large_photo

_START_SWEEP_S = (0.2, 1.2)
_LIFE_SWEEP_S = 2.5
_COMMIT_SWEEP_S = 0.015
_POST_SWEEP_S = 0.010
_FILE_SWEEP_S = 0.020
_UPLOAD_SWEEP_S = 0.080
_POSTS = 5
_FILES = 4


class Step(StrEnum):
    """The step of a task at which the server is killed."""

    POSTING = "posts in flight, some answered"
    QUEUED = "queued, before the create"
    CREATE_SENT = "create sent, not carried out"
    CREATED = "created, id not stored"
    RECONCILING = "reconciling a lost create"
    POLLING = "running, while polling"
    ENDED = "succeeded, not polled yet"
    RESULT_SENT = "succeeded, poll being answered"
    COMMITTING = "succeeded, around the commit"
    DOWNLOADING = "while downloading"
    UPLOADING = "while a file arrives"
    UPLOADED = "around the commit of a file"
    SENDING_FILE = "while a file goes to the provider"
    WRITING = "while a text is streamed"
    STARTING = "while starting"
    ANYTIME = "at a random time"


async def _posting(server_run: ServerRun) -> bool:
    posted = [asyncio.create_task(server_run.post()) for _ in range(_POSTS)]
    await asyncio.wait(posted, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(server_run.rng.uniform(0, _POST_SWEEP_S))
    # The other posts end without an answer when the server is killed.
    await server_run.server.kill()
    await asyncio.gather(*posted)
    return True


async def _queued(server_run: ServerRun) -> bool:
    # A 429 stops all creates for a second, so a task posted then stays queued.
    blocker = await server_run.post("429x1")
    if blocker.prompt not in server_run.emulator.create_prompts:
        with server_run.emulator.intercept(
            lambda exchange: exchange.prompt == blocker.prompt
        ) as interception:
            if not await server_run.wait_for(interception):
                return False
    if not await server_run.until_state(blocker, "queued"):
        return False
    task = await server_run.post()
    return task.task_id is not None and task.prompt not in server_run.emulator.create_prompts


async def _held(
    server_run: ServerRun, operation: Operation, phase: Phase, *faults: str, is_over: bool = False
) -> bool:
    """Post a task with these faults, and hold the given exchange with the provider.

    Args:
        is_over: True when the prediction of the exchange must have ended.
    """
    known = {task.prompt for task in server_run.posted}

    def wanted(exchange: Exchange) -> bool:
        is_it = (exchange.operation, exchange.phase, exchange.is_over) == (
            operation,
            phase,
            is_over,
        )
        return is_it and exchange.prompt not in known

    with server_run.emulator.intercept(wanted, holds=True) as interception:
        await server_run.post(*faults)
        await server_run.post_others()
        return await server_run.wait_for(interception)


async def _create_sent(server_run: ServerRun) -> bool:
    return await _held(server_run, Operation.CREATE, Phase.REQUEST)


async def _created(server_run: ServerRun) -> bool:
    return await _held(server_run, Operation.CREATE, Phase.RESPONSE)


async def _reconciling(server_run: ServerRun) -> bool:
    with server_run.emulator.intercept(
        lambda exchange: exchange.operation is Operation.LIST, holds=True
    ) as interception:
        await server_run.post("502_afterx1")
        await server_run.post_others()
        return await server_run.wait_for(interception)


async def _polling(server_run: ServerRun) -> bool:
    # With a slow start even a late first poll sees a running prediction.
    return await _held(server_run, Operation.POLL, Phase.RESPONSE, "slow_start")


async def _ended(server_run: ServerRun) -> bool:
    return await _held(server_run, Operation.POLL, Phase.REQUEST, is_over=True)


async def _result_sent(server_run: ServerRun) -> bool:
    return await _held(server_run, Operation.POLL, Phase.RESPONSE, is_over=True)


async def _committing(server_run: ServerRun) -> bool:
    def wanted(exchange: Exchange) -> bool:
        return (
            exchange.operation is Operation.POLL
            and exchange.phase is Phase.RESPONSE
            and exchange.is_over
        )

    with server_run.emulator.intercept(wanted) as interception:
        await server_run.post()
        await server_run.post_others()
        is_caught = await server_run.wait_for(interception)
    await asyncio.sleep(server_run.rng.uniform(0, _COMMIT_SWEEP_S))
    return is_caught


async def _downloading(server_run: ServerRun) -> bool:
    # Either no bytes, or half of them and then nothing.
    if server_run.rng.random() < 0.5:
        return await _held(server_run, Operation.FILE, Phase.REQUEST, is_over=True)
    with server_run.emulator.intercept(_is_half_sent) as interception:
        await server_run.post("file_stalledx1")
        await server_run.post_others()
        is_caught = await server_run.wait_for(interception)
    await asyncio.sleep(server_run.rng.uniform(0, _FILE_SWEEP_S))
    return is_caught


def _is_half_sent(exchange: Exchange) -> bool:
    return (
        exchange.operation is Operation.FILE
        and exchange.phase is Phase.RESPONSE
        and "stalled" in exchange.prompt
    )


async def _uploading(server_run: ServerRun) -> bool:
    task = server_run.new_task(kind=Kind.EDIT)
    photo = task.photo or b""

    async def half() -> AsyncIterator[bytes]:
        yield photo[: len(photo) // 2 + 1]
        await asyncio.get_running_loop().create_future()

    upload = asyncio.create_task(server_run.upload(half()))
    await server_run.post_others()
    is_caught = await server_run.until_file_begins()
    await server_run.server.kill()
    upload.cancel()  # the task is posted, with its file, after the restart
    await asyncio.gather(upload, return_exceptions=True)
    return is_caught


async def _uploaded(server_run: ServerRun) -> bool:
    kinds = [server_run.rng.choice((Kind.EDIT, Kind.INLINE_EDIT)) for _ in range(_FILES)]
    posted: list[asyncio.Task[object]] = [
        asyncio.create_task(server_run.post(kind=kind)) for kind in kinds
    ]
    # Also a file that no task will ever use.
    posted.append(asyncio.create_task(server_run.upload_unused()))
    await asyncio.sleep(server_run.rng.uniform(0, _UPLOAD_SWEEP_S))
    await server_run.server.kill()
    await asyncio.gather(*posted)
    return True


async def _sending_file(server_run: ServerRun) -> bool:
    phase = server_run.rng.choice((Phase.REQUEST, Phase.RESPONSE))
    with server_run.emulator.intercept(
        lambda exchange: exchange.operation is Operation.UPLOAD and exchange.phase is phase,
        holds=True,
    ) as interception:
        task = server_run.new_task(kind=Kind.EDIT)
        task.photo = large_photo(server_run.rng)
        await server_run.send(task)
        await server_run.post_others()
        return await server_run.wait_for(interception)


async def _writing(server_run: ServerRun) -> bool:
    task = await server_run.post("output_many_tokens", kind=Kind.TEXT)
    await server_run.post_others()
    return await server_run.until_output(task)


async def _starting(server_run: ServerRun) -> bool:
    await server_run.post()
    await server_run.post_others()
    await server_run.server.kill()
    await server_run.server.start()
    await asyncio.sleep(server_run.rng.uniform(*_START_SWEEP_S))
    server_run.server.check_alive()
    return True


async def _anytime(server_run: ServerRun) -> bool:
    await server_run.post()
    await server_run.post_others()
    await asyncio.sleep(server_run.rng.uniform(0, _LIFE_SWEEP_S))
    return True


REACH: Mapping[Step, Callable[[ServerRun], Awaitable[bool]]] = {
    Step.POSTING: _posting,
    Step.QUEUED: _queued,
    Step.CREATE_SENT: _create_sent,
    Step.CREATED: _created,
    Step.RECONCILING: _reconciling,
    Step.POLLING: _polling,
    Step.ENDED: _ended,
    Step.RESULT_SENT: _result_sent,
    Step.COMMITTING: _committing,
    Step.DOWNLOADING: _downloading,
    Step.UPLOADING: _uploading,
    Step.UPLOADED: _uploaded,
    Step.SENDING_FILE: _sending_file,
    Step.WRITING: _writing,
    Step.STARTING: _starting,
    Step.ANYTIME: _anytime,
}
"""How each step is reached. The server must be running."""
