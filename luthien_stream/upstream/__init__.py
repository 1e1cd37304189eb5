"""Towards the providers: the port that the edge calls, the native HTTP client, and the demo models."""
