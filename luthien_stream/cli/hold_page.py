"""A held call as people and programs read it: the exact tool call, who asks, and how long there is."""

from __future__ import annotations

import json
import time
from typing import Any

from luthien_stream.bus.holds import Hold
from luthien_stream.cli.plain import SHORT_ID, day_and_time, iso, preview, when
from luthien_stream.cli.visible import visible

LIST = "{id:<26}  {status:<9}  {age:>6}  {left:>6}  {policy:<20}  {tool}"


def as_object(hold: Hold, status: str) -> dict[str, Any]:
    """Return a question as `--json` prints it."""
    return {
        "id": hold.id,
        "call_id": hold.call,
        "key": hold.key,
        "status": status,
        "asked": iso(hold.since),
        "deadline": iso(hold.deadline),
        **{name: hold.subject.get(name, "") for name in ("policy", "version", "reason", "session", "model", "digest")},
        "tool": hold.subject.get("tool", ""),
        "arguments": hold.subject.get("arguments", ""),
        "decision": hold.decision,
        "by": hold.by,
        "at": iso(hold.at) if hold.at else "",
        "args": hold.args,
    }


def json_line(value: Any) -> str:
    """Return an object on one line, in ASCII: no character of it can do anything to a terminal."""
    return json.dumps(value, ensure_ascii=True, default=str)


def line(hold: Hold, status: str) -> str:
    """Return a question on one line."""
    subject, now = hold.subject, time.time()
    tool = visible(f"{subject.get('tool', '')} {subject.get('arguments', '')}")
    return LIST.format(
        id=hold.call[:SHORT_ID] + (f":{hold.key}" if hold.key else ""),
        status=status,
        age=_span(now - hold.since / 1e6),
        left=_span(hold.deadline / 1e6 - now) if status == "waiting" else "",
        policy=visible(str(subject.get("policy", ""))),
        tool=preview(tool, 100),
    ).rstrip()


def page(hold: Hold, status: str) -> str:
    """Return all of a question."""
    subject = hold.subject
    facts = {
        "id": hold.id,
        "status": status,
        "asked": f"{when(hold.since)}, {_span(time.time() - hold.since / 1e6)} ago",
        "deadline": day_and_time(hold.deadline),
        **{
            name: str(subject.get(name) or "") for name in ("policy", "version", "reason", "session", "model", "digest")
        },
        "decided": f"{hold.decision} by {hold.by or '-'} at {day_and_time(hold.at)}" if hold.decision else "",
        "tool": str(subject.get("tool", "")),
    }
    lines = [f"{name:<9} {visible(value)}" for name, value in facts.items() if value]
    arguments = str(subject.get("arguments", ""))
    for name, value in _arguments(arguments):
        lines.append(f"  {visible(name)}:")
        lines += [f"    | {part}" for part in visible(value, lines=True).split("\n")]
    return "\n".join([*lines, f"exactly   {visible(arguments)}"])


def _arguments(text: str) -> list[tuple[str, str]]:
    """The arguments one by one, for reading; none where they are no object. What counts is the text itself."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(parsed, dict):
        return []
    return [(n, v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)) for n, v in parsed.items()]


def _span(seconds: float) -> str:
    seconds = max(0, int(seconds))
    if seconds < 100:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 6000 else f"{seconds // 3600} h"
