"""What policy authors import: `from luthien_stream.policy import Policy, Text, run`."""

from luthien_stream.core.lens import Request, RequestPart
from luthien_stream.events.answer import ALL, End, Event, Kinds, Opaque, PartEnd, Text, Thinking, ToolCall
from luthien_stream.policy.api import Policy, Refuse, Stop
from luthien_stream.policy.asking import Approval
from luthien_stream.policy.context import CallFacts, Context
from luthien_stream.policy.errors import EffectFailed, JudgeFailed
from luthien_stream.policy.folding import Fold, Session
from luthien_stream.policy.gate import ToolGate, gate
from luthien_stream.policy.handler import (
    PolicyHandler,
    PolicyResult,
    RequestMetadata,
    StreamAction,
    StreamControl,
    StreamingContext,
)
from luthien_stream.policy.monitor import Monitor, monitor
from luthien_stream.policy.run import Transcript, run
from luthien_stream.policy.sampling import Sample
from luthien_stream.policy.stream import Events
from luthien_stream.policy.subject import subject
from luthien_stream.policy.tail import Edit
from luthien_stream.policy.text import TextPolicy
from luthien_stream.policy.turns import ToolResult, Turn
from luthien_stream.policy.verdicts import Allow, Deny, Hold, Rewrite, Score, Verdict

__all__ = [
    "ALL",
    "Allow",
    "Approval",
    "CallFacts",
    "Context",
    "Deny",
    "Edit",
    "EffectFailed",
    "End",
    "Event",
    "Events",
    "Fold",
    "Hold",
    "JudgeFailed",
    "Kinds",
    "Monitor",
    "Opaque",
    "PartEnd",
    "Policy",
    "PolicyHandler",
    "PolicyResult",
    "Refuse",
    "Request",
    "RequestMetadata",
    "RequestPart",
    "Rewrite",
    "Sample",
    "Score",
    "Session",
    "Stop",
    "StreamAction",
    "StreamControl",
    "StreamingContext",
    "Text",
    "TextPolicy",
    "Thinking",
    "ToolCall",
    "ToolGate",
    "ToolResult",
    "Transcript",
    "Turn",
    "Verdict",
    "gate",
    "monitor",
    "run",
    "subject",
]
