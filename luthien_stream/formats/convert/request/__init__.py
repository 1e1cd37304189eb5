"""Requests from one format to another: a reader a format to a neutral conversation, and a writer a format from it."""
