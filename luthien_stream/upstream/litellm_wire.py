"""What the edge tells the litellm server beside the request: a deployment's parameters, in one header.

They hold credentials, so they are never part of a body, which is on record. Nothing here imports litellm.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from luthien_stream.errors import ClientError
from luthien_stream.events.log import Header

PARAMETERS = "x-luthien-parameters"
HEADER_BYTES = 64 << 10
"""Most that the header may have: a service account's credentials are 2 to 3 KB."""
NOT_PARAMETERS = frozenset({"model", "api_key", "num_retries", "max_retries"})
"""What goes another way: in the body, in `authorization`, or is the edge's own business."""


def headers(parameters: Mapping[str, Any]) -> list[Header]:
    """The headers of a request with these parameters."""
    sent = {name: value for name, value in parameters.items() if name not in NOT_PARAMETERS and value is not None}
    # Not msgspec: a header is ASCII.
    return [("content-type", "application/json"), *([(PARAMETERS, json.dumps(sent))] if sent else [])]


def parameters(value: str) -> dict[str, Any]:
    """Read the header back. Raises `ClientError`."""
    if not value:
        return {}
    try:
        return msgspec.json.decode(value.encode(), type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ClientError(f"The header {PARAMETERS} is no JSON object") from error
