"""Formats differences and the result of a run: as text for people, and as JSON."""

from __future__ import annotations

import base64
import difflib
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from phoenix_compat.conformance.fuzz.generate import Kind
from phoenix_compat.conformance.fuzz.normalize import Answers
from phoenix_compat.conformance.fuzz.run import Difference, Outcome
from phoenix_compat.conformance.fuzz.script import (
    Client,
    Request,
    Script,
    Send,
    SendBinary,
    SendFrame,
    Step,
)
from phoenix_compat.version import __version__

JSON_FORMAT: Final = 1
"""Increased when readers of the JSON have to change."""

OWN_SERVER: Final = "the reference set of this package"
"""The name of the second server if only one is given."""


@dataclass(frozen=True, slots=True)
class Run:
    """What was asked for.

    Attributes:
        against: the URL of the second server; None for `OWN_SERVER`.
        kind: which conversations; None for all.
    """

    url: str
    against: str | None = None
    seed: int = 1
    kind: Kind | None = None

    @property
    def names(self) -> tuple[str, str]:
        """The two servers, for people."""
        return self.url, self.against or OWN_SERVER

    def replay_command(self, script: Script) -> str:
        """The command that plays one conversation again."""
        words = ["phoenix-compat", "conformance", "fuzz", self.url]
        if self.against is not None:
            words += ["--against", self.against]
        return shlex.join([*words, "--replay", script.to_json()])


def explain(difference: Difference, run: Run) -> str:
    """What was sent and where the answers differ."""
    script = difference.script
    name = "the conversation" if difference.number < 0 else f"conversation {difference.number}"
    return "\n".join(
        [
            f"{name} differs, {_counted(script.frames, 'frame')}:",
            *(f"  {line}" for client in script.clients for line in _connecting(client)),
            *(f"  {line}" for step in script.steps for line in _sending(step)),
            *(f"    {line}" for line in _diff(difference, run)),
            f"  again: {run.replay_command(script)}",
        ]
    )


def summarize(outcome: Outcome, run: Run, took_s: float) -> str:
    """The last line for people."""
    played = f"{_counted(outcome.played, 'conversation')} in {took_s:.0f} s, seed {run.seed}"
    found = [str(outcome.result)]
    if outcome.differences:
        found = [f"{len(outcome.differences)} different"]
    if outcome.repeated:
        found.append(f"{outcome.repeated} more became one of these")
    if outcome.unconfirmed:
        found.append(f"{outcome.unconfirmed} differed once, and not when played alone")
    if outcome.unjudged:
        found.append(f"{outcome.unjudged} differed once, and were not played again")
    if outcome.unfinished:
        errors = ", ".join(f"{name}: {count}" for name, count in outcome.unfinished.items())
        found.append(f"{outcome.unfinished_count} could not be played ({errors})")
    return f"{played}: {'; '.join(found)}"


def to_json(outcome: Outcome, run: Run, took_s: float) -> str:
    """The result for programs.

    `{"format": 1, "made_by", "url", "against", "seed", "kind", "took_s", "result", "played",
    "unconfirmed", "repeated", "unjudged", "unfinished": {error: n}, "differences": [{"number",
    "frames", "script": {…}, "answers": [[…], […]], "replay"}]}`

    `result` is "no difference", "different" or "not judged".
    """
    document = {
        "format": JSON_FORMAT,
        "made_by": f"phoenix-compat {__version__}",
        "url": run.url,
        "against": run.against,
        "seed": run.seed,
        "kind": run.kind,
        "took_s": round(took_s, 3),
        "result": str(outcome.result),
        "played": outcome.played,
        "unconfirmed": outcome.unconfirmed,
        "repeated": outcome.repeated,
        "unjudged": outcome.unjudged,
        "unfinished": outcome.unfinished,
        "differences": [_difference(one, run) for one in outcome.differences],
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


def _difference(difference: Difference, run: Run) -> dict[str, Any]:
    return {
        "number": difference.number,
        "frames": difference.script.frames,
        "script": json.loads(difference.script.to_json()),
        "answers": list(difference.answers),
        "replay": run.replay_command(difference.script),
    }


def read_scripts(text: str) -> list[Script]:
    """The conversations in JSON: one that was printed, or all differences of a report.

    Raises:
        ValueError: it has none.
    """
    read = json.loads(text)
    if isinstance(read, dict) and isinstance(read.get("differences"), list):
        try:
            scripts = [json.dumps(one["script"]) for one in read["differences"]]
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is not a report of this command: {error!r}") from error
        if not scripts:
            raise ValueError("this report has no differences")
        return [Script.from_json(script) for script in scripts]
    return [Script.from_json(text)]


def _connecting(client: Client) -> Iterator[str]:
    yield f"{client.name} connects to {client.target}"
    yield from (f"    {name}: {value}" for name, value in client.headers)


def _sending(step: Step) -> Iterator[str]:
    match step:
        case Send(name, texts):
            yield f"{name} sends {texts[0] if texts else 'nothing'}"
            yield from (f"  and {text}" for text in texts[1:])
        case SendBinary(name):
            yield f"{name} sends {step.bytes!r}"
        case SendFrame(name, opcode, data):
            oddities = [
                *([] if step.is_final else ["not final"]),
                *([f"RSV {step.rsv}"] if step.rsv else []),
                *([] if step.is_masked else ["not masked"]),
            ]
            shown = ", ".join([f"opcode {opcode}", *oddities])
            yield f"{name} sends the frame {base64.b64decode(data)!r}, {shown}"
        case Request(method, target, headers, body, version):
            yield f"{method} {target} {version}"
            yield from (f"    {name}: {value}" for name, value in headers)
            if body:
                yield f"    {body}"


def _diff(difference: Difference, run: Run) -> list[str]:
    clients = len(difference.script.clients)
    first, second = (list(_answer_lines(answers, clients)) for answers in difference.answers)
    return list(difflib.unified_diff(first, second, *run.names, lineterm="", n=2))


def _answer_lines(answers: Answers, clients: int) -> Iterator[str]:
    """What was heard, a line for each message."""
    for index, answer in enumerate(answers):
        when = "connecting" if index < clients else f"step {index + 1 - clients}"
        for name, heard in answer.items():
            topics = {"": heard} if isinstance(heard, list) else heard
            for line in (line for lines in topics.values() for line in lines):
                yield f"{when}: {name} gets {line}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
