"""litellm behind a Unix socket, as an OpenAI-compatible server in a process of its own: `luthien-stream upstream`."""
