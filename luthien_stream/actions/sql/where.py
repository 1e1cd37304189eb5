"""Whether an UPDATE or DELETE takes every row."""

from __future__ import annotations

from sqlglot import exp


def is_unbounded(statement: exp.Update | exp.Delete) -> bool:
    """True without a WHERE, and with one that is true of every row as far as its form tells."""
    where = statement.args.get("where")
    return where is None or _is_true(where.this)


def takes_all(statement: exp.Merge) -> bool:
    """True for a MERGE whose ON matches every row with every row."""
    on = statement.args.get("on")
    return on is not None and _is_true(on)


def _is_true(condition: exp.Expr) -> bool:
    match condition:
        case exp.Paren():
            return _is_true(condition.this)
        case exp.Or():
            return _is_true(condition.left) or _is_true(condition.right)
        case exp.And():
            return _is_true(condition.left) and _is_true(condition.right)
        case exp.EQ() | exp.GTE() | exp.LTE() | exp.NullSafeEQ() if condition.left == condition.right:
            return True
        case exp.Like() | exp.ILike() if condition.expression.name and not condition.expression.name.strip("%"):
            return True
    return not any(isinstance(node, exp.Column | exp.Table) for node in condition.walk())
