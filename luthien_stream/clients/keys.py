"""Where a gateway's key goes: instead of the provider's, beside it in a header, or nowhere."""

from __future__ import annotations

from luthien_stream.clients.model import KEY, KEY_HEADER, Gateway, Variable

INSTEAD = "the gateway's key, in place of the provider's"
BESIDE = "the gateway's key, beside your provider's"


def openai(gateway: Gateway) -> tuple[Variable, ...]:
    """OpenAI's variable, where the gateway's key takes the place of the provider's."""
    return (Variable("OPENAI_API_KEY", KEY, INSTEAD),) if gateway.mode == "keys" else ()


def anthropic(gateway: Gateway) -> tuple[Variable, ...]:
    """Anthropic's variable, likewise."""
    return (Variable("ANTHROPIC_API_KEY", KEY, INSTEAD),) if gateway.mode == "keys" else ()


def both_vendors(gateway: Gateway) -> tuple[Variable, ...]:
    """Both variables."""
    return (*openai(gateway), *anthropic(gateway))


def headers(gateway: Gateway, *names: str) -> tuple[Variable, ...]:
    """Variables of `Name: value` lines that a client sends as headers, where both keys are wanted."""
    if gateway.mode != "both":
        return ()
    return tuple(Variable(name, f"{KEY_HEADER}: {KEY}", BESIDE) for name in names)


def argument(gateway: Gateway, template: str) -> str:
    """A piece of code that sends the key in a header, where both are wanted; `template` has `{header}` and `{key}`."""
    return template.format(header=KEY_HEADER, key=KEY) if gateway.mode == "both" else ""
