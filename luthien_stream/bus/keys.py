"""The names of all keys. What one script touches carries one hash tag, so that the names hold in a cluster too."""

from __future__ import annotations

PREFIX = "ls:"
STREAMS = "ls:streams"
DEAD_LETTERS = "ls:dead"
ACTIVITY_GROUP = "activity"


def partition(stage: str, number: int) -> str:
    """The key of a partition: `<stage>:<number>`."""
    return f"{stage}:{number}"


def partition_stream(partition: str) -> str:
    """The input stream of a partition."""
    return f"ls:{{{partition}}}:in"


def state(partition: str) -> str:
    """The hash with owner, turn and cursor."""
    return f"ls:{{{partition}}}:state"


def lease(partition: str) -> str:
    """The string that names the worker, with its time to live."""
    return f"ls:{{{partition}}}:lease"


def open_calls(partition: str) -> str:
    """The hash of open calls."""
    return f"ls:{{{partition}}}:open"


def closed_calls(partition: str) -> str:
    """The sorted set of calls closed of late."""
    return f"ls:{{{partition}}}:closed"


def spill(partition: str, call: str) -> str:
    """The list of a call's events that the stream no longer keeps."""
    return f"ls:{{{partition}}}:spill:{call}"


def inbox(edge: str) -> str:
    """The return stream of one edge process start."""
    return f"ls:{{{edge}}}:inbox"


def orders(edge: str) -> str:
    """The stream of what people tell one edge process."""
    return f"ls:{{{edge}}}:orders"


def body(ref: str) -> str:
    """A stored request body."""
    return f"ls:body:{ref}"


def value(name: str) -> str:
    """What an edge keeps for all edges under a name."""
    return f"ls:value:{name}"


def fold(session: str, name: str) -> str:
    """The hash with what a policy knows of a session."""
    return f"ls:session:{name}:{session}"


def kept(name: str) -> str:
    """What a policy keeps under a name."""
    return f"ls:kv:{name}"


def once(what: str) -> str:
    """What says that something was done for a call, and what came of it."""
    return f"ls:once:{what}"


def members(group: str) -> str:
    """The sorted set of names in a group, by when they leave it."""
    return f"ls:members:{group}"


def registry(role: str) -> str:
    """The set of all names that have had a heartbeat in a role."""
    return f"ls:registry:{role}"


def heartbeat(role: str, name: str) -> str:
    """The heartbeat of one process."""
    return f"ls:registry:{role}:{name}"
