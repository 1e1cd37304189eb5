"""Programs that run another command: which of their words it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from luthien_stream.actions.shell.model import UNKNOWN, Word
from luthien_stream.actions.shell.tables import NAMES_FIRST, RUNNERS, SWITCHES, Prefix

EVERYTHING = (Word(UNKNOWN, True),)
"""What nobody knows the number of."""


def behind(words: Sequence[Word], prefix: Prefix) -> list[Word]:
    """The words behind a wrapper's own options, assignments and operands."""
    values = set(prefix.values.split())
    skip, at = prefix.skip, 0
    while at < len(words):
        text = words[at].text
        if text == "--" and not skip:
            return list(words[at + 1 :])
        if text.startswith("-") and len(text) > 1:
            at += 1 + takes_next(text, values)
        elif prefix.assigns and "=" in text.lstrip("=") and text.partition("=")[0].replace("_", "a").isalnum():
            at += 1
        elif skip:
            skip, at = skip - 1, at + 1
        else:
            return list(words[at:])
    return []


def takes_next(option: str, values: set[str]) -> bool:
    """True if the option's value is the next word."""
    if option in values:
        return True
    return re.match(r"-[^-].", option) is not None and f"-{option[-1]}" in values and f"-{option[1]}" not in values


def option_values(words: Sequence[Word], options: set[str]) -> Iterator[Word]:
    """The values of those options, `--name value`, `--name=value` and short ones at the end of a cluster."""
    for at, word in enumerate(words):
        name, equals, value = word.text.partition("=")
        if equals and name in options:
            yield Word(value.removeprefix("exec="))
        elif at + 1 < len(words) and takes_next(word.text, options):
            yield words[at + 1]


def run_by(program: str, words: Sequence[Word]) -> list[Word]:
    """The command that a runner runs, in its own words; empty for none."""
    operands = [(at, word.text) for at, word in enumerate(words) if not word.text.startswith("-")]
    for subcommand in RUNNERS[program]:
        parts = subcommand.split()
        start = _start(operands, parts)
        if start is None:
            continue
        rest = list(words[start:])
        dashes = next((at for at, word in enumerate(rest) if word.text == "--"), None)
        if dashes is not None:
            return rest[dashes + 1 :]
        entry = list(option_values(rest, {"--entrypoint"}))
        rest = _past_options(rest)
        if entry:
            return [entry[0], *rest[1:]]
        return _past_options(rest[1:]) if program in NAMES_FIRST else rest
    return []


def _start(operands: Sequence[tuple[int, str]], parts: Sequence[str]) -> int | None:
    """Where the words behind a subcommand begin. Values of options before it may look like operands."""
    if not parts:
        return 0
    for at in range(min(len(operands), 4)):
        if [text for _, text in operands[at : at + len(parts)]] == list(parts):
            return operands[at + len(parts) - 1][0] + 1
    return None


def _past_options(words: Sequence[Word]) -> list[Word]:
    at = 0
    while at < len(words) and words[at].text.startswith("-"):
        option = words[at].text
        at += 1 if option in SWITCHES or "=" in option else 2
    return list(words[at:])


def xargs(words: Sequence[Word], given: Sequence[Word] = ()) -> list[Word]:
    """The command that `xargs` runs, with what it is given; where that is not known, one word stands for all of it."""
    rest = behind(words, Prefix("-I -n -P -L -d -a -E -s --max-args --max-procs --delimiter --arg-file --max-lines"))
    marks = [word.text for word in option_values(words, {"-I"})]
    marks += [word.text[2:] for word in words if word.text.startswith("-I") and len(word.text) > 2]
    braces = ["{}"] if any(word.text in {"-i", "--replace"} for word in words) else []
    if not marks and not braces:
        given = [Word(part) for line in given for part in line.text.split()]
    return filled(rest, marks or braces, given or EVERYTHING)


def filled(words: Sequence[Word], marks: Sequence[str], values: Sequence[Word] = EVERYTHING) -> list[Word]:
    """Put `values` where a mark stands, or at the end where none does."""
    out: list[Word] = []
    for word in words:
        mark = next((mark for mark in marks if mark and mark in word.text), None)
        out += [word] if mark is None else [Word(word.text.replace(mark, one.text), one.many) for one in values]
    return out if marks else [*out, *values]


def is_name_test(word: str) -> bool:
    """True for the tests of `find` that say what its results are called."""
    return word in {"-name", "-iname", "-path", "-ipath", "-wholename"}


def found_by(words: Sequence[Word]) -> list[Word]:
    """What `find` finds, one word for each root and name: `./…/*.pyc`."""
    texts = [word.text for word in words]
    first = next(
        (at for at, text in enumerate(texts) if text.startswith(("-", "(", "!")) and text not in {"-H", "-L", "-P"}),
        len(texts),
    )
    roots = [text for text in texts[:first] if not text.startswith("-")] or ["."]
    names = [
        texts[at + 1]
        for at, text in enumerate(texts[:-1])
        if is_name_test(text) and (at == 0 or texts[at - 1] not in {"!", "-not"})
    ]
    return [
        Word(f"{root.rstrip('/')}/{UNKNOWN}/{name.lstrip('*/') if '/' in name else name}", True)
        for root in roots
        for name in names or [UNKNOWN]
    ]


def executed_by_find(words: Sequence[Word]) -> Iterator[list[Word]]:
    """The commands of `-exec` and its like, and `rm` for `-delete`."""
    found = found_by(words)
    texts = [word.text for word in words]
    for at, text in enumerate(texts):
        if text in {"-exec", "-execdir", "-ok", "-okdir"}:
            end = next((i for i in range(at + 1, len(texts)) if texts[i] in {";", "+"}), len(texts))
            yield filled(words[at + 1 : end], ["{}"], found)
        elif text == "-delete":
            yield [Word("rm"), Word("-r"), *found]
        elif text in {"-x", "-X", "--exec", "--exec-batch"}:
            rest = words[at + 1 :]
            yield filled(rest, ["{}"] if any("{}" in word.text for word in rest) else [])
