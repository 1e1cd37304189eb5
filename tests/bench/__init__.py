"""What the pipeline costs, against a raw pass-through, LiteLLM's proxy and no proxy: `python -m tests.bench`."""
