"""What an operator should look at first, each with its remedy. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

Level: TypeAlias = Literal["bad", "warning", "info"]

MIN_FAILURES: Final = 3
"""Fewer failures are not worth a word."""
FAILURE_SHARE: Final = 0.2
LONG_WAIT_S: Final = 60.0
NEAR_CAP: Final = 0.8

_ORDER: Final[Mapping[Level, int]] = {"bad": 0, "warning": 1, "info": 2}
_CIRCUIT: Final[Mapping[str, str]] = {
    "provider_account": "Check the token, and whether the account at replicate.com has credit. "
    "Tasks wait meanwhile, and go on by themselves.",
    "provider_unavailable": "Replicate does not answer, or not as it should. Tasks wait, and go on "
    "by themselves.",
}
_REMEDIES: Final[Mapping[str, str]] = {
    "content_policy": "The content filter refused prompts or pictures; their senders know it.",
    "invalid_input": "The model refuses inputs that apps send: open one, and compare its input "
    "with what the model takes.",
    "model_unavailable": "Name other models in fallback_models, or change default_model.",
    "timed_out": "The model is slower than the limit: raise deadline_s, or choose a faster model.",
    "provider_account": "Check the token, and whether the account at replicate.com has credit.",
    "provider_unavailable": "Replicate was not available; retry them when it is.",
    "internal_error": "That is a bug of this server: the log has the traceback.",
}


class Item(NamedTuple):
    """One thing to look at.

    Attributes:
        title: what is wrong, in a few words.
        text: what to do.
        link: the place in the console where more is shown, as "tasks?status=failed"; or "".
    """

    level: Level
    title: str
    text: str
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What `attention` judges.

    Attributes:
        has_leader: whether some process has the database.
        store_problem: why the database cannot be used; "" if it can.
        restarting: the reasons of background tasks that are being restarted, by name.
        circuit_reason: the error code with which creates are held back; None if they are not.
        queued: tasks that wait, the oldest of them for `oldest_queued_s` seconds.
        running: tasks that run, of `concurrency` at most.
        ended, codes: tasks that ended lately, and the codes of those that failed.
        missing_processes: processes that did not answer.
        disabled_webhooks: why webhooks of the operator get no events any more, by name.
    """

    has_leader: bool = True
    store_problem: str = ""
    restarting: Mapping[str, str] = field(default_factory=dict)
    circuit_reason: str | None = None
    is_emulated: bool = False
    is_open_to_all: bool = False
    queued: int = 0
    oldest_queued_s: float = 0.0
    running: int = 0
    concurrency: int = 1
    ended: int = 0
    codes: Sequence[str] = ()
    spent_usd: float | None = None
    cap_usd: float | None = None
    missing_processes: int = 0
    disabled_webhooks: Mapping[str, str] = field(default_factory=dict)


def attention(situation: Situation) -> list[Item]:
    """What to look at, the worst first."""
    return sorted(_items(situation), key=lambda item: _ORDER[item.level])


def _items(now: Situation) -> Iterator[Item]:
    if not now.has_leader:
        text = "Tasks wait until a process has it; this takes a second. If it stays, see the log."
        yield Item("bad", "No process has the database", text, "logs")
    if now.store_problem:
        text = "Check the disk and the rights of the data folder. `phoenix-compat doctor` helps."
        yield Item("bad", f"The database cannot be used: {now.store_problem}", text, "logs")
    for name, reason in now.restarting.items():
        yield Item("bad", f"A part of the server fails: {name}", f"{reason}. See the log.", "logs")
    if now.circuit_reason is not None:
        text = _CIRCUIT.get(now.circuit_reason, _CIRCUIT["provider_unavailable"])
        reason = now.circuit_reason.replace("_", " ")
        yield Item("bad", f"No tasks are sent to the provider: {reason}", text, "provider")
    if now.missing_processes:
        text = "They are busy or are being replaced; numbers of theirs are missing here."
        yield Item("warning", f"{now.missing_processes} processes do not answer", text, "logs")
    for name, reason in now.disabled_webhooks.items():
        text = f"{reason}. Mend it, then run `phoenix-compat webhooks replay {name}`."
        yield Item("bad", f"The webhook {name} is disabled", text[:1].upper() + text[1:])
    yield from _budget(now)
    yield from _queue(now)
    yield from _failures(now)
    if now.is_open_to_all:
        text = 'Everybody who reaches it can spend your money. Set auth = ["keys"], and make a key.'
        yield Item("warning", "This server has no authentication", text, "settings")
    if now.is_emulated:
        text = "Pictures come from the built-in emulator. Set REPLICATE_API_TOKEN for real ones."
        yield Item("info", "No Replicate token is set", text)


def _budget(now: Situation) -> Iterator[Item]:
    if now.spent_usd is None or not now.cap_usd or now.spent_usd < NEAR_CAP * now.cap_usd:
        return
    share = now.spent_usd / now.cap_usd
    text = "It resets at midnight UTC. Raise total_usd_per_day if that is too early."
    if share >= 1:
        yield Item("bad", "Today's budget is used up: new tasks are refused", text, "settings")
    else:
        yield Item("warning", f"{share:.0%} of today's budget is used", text, "settings")


def _queue(now: Situation) -> Iterator[Item]:
    is_full = now.running >= now.concurrency
    if now.queued and now.oldest_queued_s >= LONG_WAIT_S and is_full:
        wait = f"{now.oldest_queued_s / 60:.0f} min" if now.oldest_queued_s >= 90 else "a minute"
        text = (
            f"{now.concurrency} tasks run at once: raise `concurrency` if your account allows it."
        )
        yield Item("warning", f"Tasks wait for {wait}", text, "tasks?status=queued")


def _failures(now: Situation) -> Iterator[Item]:
    # A cancel is what somebody wanted.
    codes = Counter(code for code in now.codes if code != "canceled")
    failed = codes.total()
    if failed < MIN_FAILURES or failed < FAILURE_SHARE * now.ended:
        return
    code, _ = codes.most_common(1)[0]
    title = f"{failed} of {now.ended} tasks failed in the last 15 minutes"
    text = _REMEDIES.get(code, "Open one to see why.")
    yield Item("warning", title, f"Mostly {code.replace('_', ' ')}. {text}", "tasks?status=failed")
