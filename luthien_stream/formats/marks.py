"""What a client keeps of an answer that a policy cut into, marked so that it is known again in the next request.

Clients send back what they were given, and their provider refuses what is not its own. Marks stand where only a
provider looks: in signatures and ids.
"""

from __future__ import annotations

CUT = "luthien/cut"
"""Stands for the signature of thinking that a policy ended before the model did."""
OWN = "_luthien_"
"""Stands in ids of items that no provider made, behind the prefix that says their kind."""
UNTHOUGHT = f"{OWN}0"
"""Stands behind the id of a call whose answer began with thinking that a policy dropped."""
EMPTY = "(no answer)"
"""Stands for an answer that policies left nothing of, where the format has no empty ones."""


def is_marked(body: bytes) -> bool:
    """True if a request may have a mark in it; most have none, and leave as they came."""
    return CUT.encode() in body or OWN.encode() in body or b"luthien\\/cut" in body
