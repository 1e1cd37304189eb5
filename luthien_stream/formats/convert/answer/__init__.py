"""Answers from one format to another: a reader a format to neutral pieces, and a writer a format from them."""
