"""`luthien-stream policies show NAME`: what a policy says of itself, and how it is configured."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import msgspec

from luthien_stream.cli.common import add_config_flag, console, fail, own_policies, print_json
from luthien_stream.cli.plain import preview, printable
from luthien_stream.cli.policies_list import default_text
from luthien_stream.cli.policy_facts import FieldFacts, PolicyFacts, facts_of

SUMMARY = "show one policy: what it does, its configuration, an example"
HELP = """Show what a policy does, its configuration with defaults, and an entry for `pipeline:` in luthien.yaml."""
EPILOG = """\
examples:
  luthien-stream policies show sql_protection
  luthien-stream policies show sql_protection --json
"""
LONGEST = 160
"""Characters of a default on the page; `--json` has all of it."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("name", metavar="NAME", help="the policy")
    add_config_flag(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    facts = facts_of(args.name, own_policies(args))
    if args.json:
        print_json({**msgspec.structs.asdict(facts), "example": example(facts)})
    elif not facts.error:
        console().print(printable("\n".join(_page(facts)), lines=True), markup=False)
    return fail(facts.error) if facts.error else 0


def _page(facts: PolicyFacts) -> Iterator[str]:
    yield f"{facts.name}\n"
    yield facts.doc + "\n" if facts.doc else ""
    rows = {
        "phases": facts.phases,
        "sees": facts.sees,
        "hold": (facts.hold,),
        "effects": facts.effects,
        "fails": (facts.fail,),
        "digest": (facts.digest,),
        "path": (facts.path,),
    }
    for name, words in rows.items():
        yield f"{name:<8} {' '.join(words) or 'none'}"
    yield "\nconfiguration (`with:`)" if facts.fields else "\nno configuration"
    for one in facts.fields:
        default = "required" if one.required else f"default {preview(default_text(one), LONGEST)}"
        yield f"  {one.name}: {one.type}, {default}"
        if one.help:
            yield f"      {one.help}"
    yield f"\nin luthien.yaml\n{example(facts)}"


def example(facts: PolicyFacts) -> str:
    """An entry for `pipeline:`; what must be given is left open, long defaults are left out."""
    lines = ["pipeline:", f"  - use: {facts.name}"]
    if facts.fields:
        lines.append("    with:")
        lines += [f"      {_entry(one)}" for one in facts.fields if one.required or not _is_long(one)]
    return "\n".join(lines)


def _entry(one: FieldFacts) -> str:
    if one.required:
        return f"{one.name}: ...  # required: {one.type}"
    return f"{one.name}: {default_text(one)}"  # JSON is YAML


def _is_long(one: FieldFacts) -> bool:
    return len(default_text(one)) > LONGEST
