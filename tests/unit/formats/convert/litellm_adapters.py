"""LiteLLM's own conversions, called as a library."""

from __future__ import annotations

import copy
import importlib
import json
from types import SimpleNamespace
from typing import Any

from tests.unit.formats.convert.pairs import ANTHROPIC

MODEL = "claude-opus-4-6"


class Adapters:
    """LiteLLM's own conversions, with nothing called over the network."""

    def __init__(self) -> None:
        def load(path: str) -> Any:
            return importlib.import_module(f"litellm.{path}")

        messages = load("llms.anthropic.pass_through.adapters.transformation")
        self._messages = messages.AnthropicAdapter()
        self._claude = load("llms.anthropic.chat.transformation").AnthropicConfig
        responses = load("responses.litellm_completion_transformation.transformation")
        self._responses = responses.LiteLLMCompletionResponsesConfig
        self._answer = load("types.utils").ModelResponse

    def request(self, client: str, provider: str, request: Any) -> Any:
        """A request for a provider."""
        if provider == ANTHROPIC:
            return self.messages_of_chat(request)
        return (self.chat_of_messages if client == ANTHROPIC else self.chat_of_responses)(request)

    def chat_of_messages(self, request: Any) -> Any:
        """Anthropic's client, a chat provider."""
        made, _ = self._messages.translate_completion_input_params_with_tool_mapping(
            copy.deepcopy(request), custom_llm_provider="openai"
        )
        return _plain(made)

    def messages_of_chat(self, request: Any, model: str = MODEL) -> Any:
        """A chat client, Anthropic as provider."""
        options = copy.deepcopy(request)
        messages = options.pop("messages")
        options.pop("model")
        config = self._claude()
        mapped = config.map_openai_params(options, {}, model, False)
        return _plain(config.transform_request(model, messages, mapped, {}, {}))

    def chat_of_responses(self, request: Any) -> Any:
        """A client of Responses, a chat provider."""
        options = copy.deepcopy(request)
        made = self._responses.transform_responses_api_request_to_chat_completion_request(
            model=options.pop("model"),
            input=options.pop("input"),
            responses_api_request=options,
            custom_llm_provider="openai",
        )
        return _plain(made)

    def answer(self, client: str, provider: str, body: Any) -> bytes:
        """An answer for a client."""
        if provider == ANTHROPIC:
            raw = SimpleNamespace(headers={}, status_code=200)
            made = self._claude().transform_parsed_response(body, raw, self._answer())
        elif client == ANTHROPIC:
            made = self._messages.translate_completion_output_params(self._answer(**body), {})
        else:
            made = self._responses.transform_chat_completion_response_to_responses_api_response(
                "a", {}, self._answer(**body)
            )
        return json.dumps(_plain(made)).encode()


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=lambda o: o.model_dump() if hasattr(o, "model_dump") else str(o)))
