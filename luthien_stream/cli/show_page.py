"""The page that `show` prints: facts, both lanes, tool calls, and what policies did."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from luthien_stream.activity.read import Summary
from luthien_stream.cli.calls import how
from luthien_stream.cli.plain import clock, day_and_time, printable, size, span
from luthien_stream.events.log import (
    PolicyBypassed,
    PolicyFailed,
    PolicyRan,
    ProtocolViolated,
    RequestRefused,
    ResponseFailed,
    VerdictReached,
)
from luthien_stream.events.pack import type_of
from luthien_stream.record.lanes import LaneView, Record, said_once
from luthien_stream.record.speech import Speech

Lanes = Mapping[str, tuple[LaneView, Speech]]
_TITLES = {"original": "the model said", "final": "delivered"}


def page(out: Console, summary: Summary, record: Record, lanes: Lanes) -> None:
    """Print one call."""
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(summary, lanes).items():
        if value:
            facts.add_row(name, Text(printable(value)))
    out.print(facts)
    _print_lanes(out, lanes)
    if summary.policies:
        out.print("\npolicies that ran to their end, in order", style="bold")
        for policy in summary.policies:
            out.print(_ran(policy), markup=False)
    happened = _happened(record)
    if happened:
        out.print("\nwhat policies did, and what went wrong", style="bold")
        for line in happened:
            out.print(line, markup=False)


def _ran(policy: PolicyRan) -> str:
    held = f"held {span(policy.held_us)}" if policy.held_us else ""
    words = [policy.name, policy.version, policy.verdict or "-", held, "shadow" if policy.shadow else ""]
    return "  ".join(printable(word) for word in words if word)


def _facts(summary: Summary, lanes: Lanes) -> dict[str, str]:
    usage = msgspec.json.encode(summary.usage).decode() if summary.usage else ""
    kind = f"{summary.format}, {'streamed' if summary.streamed else 'not streamed'}"
    return {
        "call_id": summary.call_id,
        "when": day_and_time(summary.time),
        "model": f"{summary.model}  ({kind}, request {size(summary.body_size)})",
        "session": summary.session,
        "client": summary.client,
        "pipeline": summary.version or "none",
        "outcome": f"{how(summary)}{f' by {summary.provider}' if summary.provider else ''}",
        "timings": _timings(summary, lanes),
        "usage": usage,
        "lanes": _compared(lanes),
    }


def _timings(summary: Summary, lanes: Lanes) -> str:
    held = [piece.held for piece in lanes["final"][0].pieces if piece.held is not None] if "final" in lanes else []
    parts = {
        "first received": span(summary.first_received),
        "first released": span(summary.first_released),
        "held (median)": span(int(median(held))) if held else "",
        "held (most)": span(max(held)) if held else "",
        "all": span(summary.duration),
    }
    return ", ".join(f"{name} {value}" for name, value in parts.items() if value)


def _compared(lanes: Lanes) -> str:
    words = []
    for name, (lane, _) in lanes.items():
        state = "" if lane.complete else f", not complete ({lane.missing} missing)" if lane.missing else ", not ended"
        words.append(f"{name} {len(lane.pieces)} frames, {size(len(lane.raw))}{state}")
    if len(lanes) > 1 and all(lane.complete for lane, _ in lanes.values()):
        raws = {lane.raw for lane, _ in lanes.values()}
        words.append("the same bytes" if len(raws) == 1 else _by(lanes["final"][0]))
    return "; ".join(words)


def _by(lane: LaneView) -> str:
    made = [f"{sum(piece.by == by for piece in lane.pieces)} by {who}" for by, who in _AUTHORS if _wrote(lane, by)]
    return f"they differ ({', '.join(made)})" if made else "they differ"


_AUTHORS = (("policy", "policies"), ("edge", "the edge"))


def _wrote(lane: LaneView, by: str) -> bool:
    return any(piece.by == by for piece in lane.pieces)


def _print_lanes(out: Console, lanes: Lanes) -> None:
    """On a terminal side by side, else one below the other."""
    texts = {_TITLES[name]: _spoken(said) for name, (_, said) in lanes.items()}
    out.print()
    if out.is_terminal:
        table = Table(*texts, expand=True)
        table.add_row(*(Text(text, overflow="fold") for text in texts.values()))
        out.print(table)
        return
    for title, text in texts.items():
        out.print(f"--- {title}\n{text}", markup=False)


def _spoken(said: Speech) -> str:
    parts = [f"[thinking] {said.thinking}"] if said.thinking else []
    parts += [said.text] if said.text else []
    parts += [f"[{tool.name}] {tool.arguments}" for tool in said.tools]
    parts += [f"(the rest cannot be read: {said.note})"] if said.note else []
    return printable("\n".join(parts), lines=True) or "(nothing)"


def _happened(record: Record) -> list[str]:
    lines = []
    for stored in said_once(record):
        event = stored.event
        match event:
            case VerdictReached():
                beside = "shadow" if event.shadow else ""
                words = [event.policy, event.kind, beside, event.phase, event.about, event.reason, event.shown]
            case PolicyFailed():
                words = [event.policy, event.error, event.message, f"went {event.went}"]
            case PolicyBypassed() | RequestRefused():
                words = [getattr(event, name, "") for name in ("policy", "why", "reason", "shown")]
            case ProtocolViolated():
                words = [event.by, event.rule, event.message]
            case ResponseFailed():
                words = [event.lane, event.error, event.message]
            case _:
                continue
        line = "  ".join(printable(word) for word in words if word)
        lines.append(f"{clock(event.time)}  {type_of(event):<18}  {line}")
    return lines
