"""The parser of the grammar, made once: a text of bounded length and depth to its tree."""

from __future__ import annotations

from functools import cache

import tree_sitter
import tree_sitter_bash


@cache
def _parser() -> tree_sitter.Parser:
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))


def parse(text: str) -> tree_sitter.Node:
    """The root of the tree; `has_error` where the grammar did not understand all of it."""
    return _parser().parse(text.encode("utf-8", "replace")).root_node
