"""Rules over simple commands, as data: program, subcommand, flags and what the operands are.

A redirection counts as a command of its own: `>` where nothing is written (the file is emptied), `write` otherwise,
with the file as its operand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase, translate
from functools import cached_property

from msgspec import Struct, field

from luthien_stream.actions.shell.languages import INTERPRETERS, code_in, language
from luthien_stream.actions.shell.model import UNKNOWN, Command, Word
from luthien_stream.actions.shell.targets import classes

SHELLS = frozenset({"sh", "bash", "zsh", "dash", "ksh", "mksh", "ash", "fish", "csh", "tcsh"})
_VALUES = re.compile(r"'(?:[^']|'')*'|(?:^|\s)--\s[^\n]*|/\*.*?\*/", re.S)


class Rule(Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """All that is given must hold.

    `program`: globs, separated by spaces. `words`: an expression that is searched for in the operands joined by spaces.
    `flags`: of each entry one of the alternatives. `unless`: flags that make the command harmless. `targets`: of the
    operands one that is in all classes of one entry, `!` for not; `onto` the same of the last operand. `text`: an
    expression searched for in arguments and input, `input`: in the input alone; `statement`: as `text`, quoted values
    and comments of SQL left out. `code_from`: globs of programs whose output the command runs as code; `fed_by`: of
    programs whose output it reads.
    """

    name: str
    category: str
    why: str
    program: str = ""
    words: str = ""
    flags: tuple[str, ...] = ()
    unless: str = ""
    targets: tuple[str, ...] = ()
    onto: tuple[str, ...] = ()
    text: str = ""
    statement: str = ""
    input: str = ""
    code_from: str = ""
    fed_by: str = ""

    def __post_init__(self) -> None:
        for expression in (self.words, self.text, self.statement, self.input):
            try:
                re.compile(expression)
            except re.error as error:
                raise ValueError(f"rule {self.name!r}: {expression!r} is no regular expression: {error}") from error

    @cached_property
    def programs(self) -> tuple[str, ...]:
        """The globs of `program`."""
        return tuple(self.program.split())

    @cached_property
    def _named(self) -> re.Pattern[str]:
        return re.compile("|".join(map(translate, self.programs)) or "")

    def is_about(self, program: str) -> bool:
        """True if the rule is about that program."""
        return self._named.match(program) is not None


class Rules(Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """A table of rules. `values`: program to its options that take the next word; `wrapped`: see `shell_guard`."""

    rule: tuple[Rule, ...] = ()
    values: dict[str, str] = field(default_factory=dict)

    @cached_property
    def _by_program(self) -> Mapping[str, Sequence[Rule]]:
        """Plain names to their rules, and `*` to those with globs in their names."""
        table: dict[str, list[Rule]] = {}
        for rule in self.rule:
            for program in rule.programs or ("*",):
                table.setdefault("*" if re.search(r"[*?\[]", program) else program, []).append(rule)
        return table

    @cached_property
    def programs(self) -> frozenset[str]:
        """The plain names of all programs that rules are about."""
        return frozenset(self._by_program) - {"*", ">", "write"}

    def matches(self, command: Command, free: Sequence[str] = ()) -> Iterator[Rule]:
        """The rules that a command breaks. `free`: globs of more paths with nothing to lose."""
        for form in _forms(command, self.programs):
            name = form.program.lower() if form.program.endswith((".exe", ".EXE")) else form.program
            name = name.removesuffix(".exe")
            rules = [*self._by_program.get(name, ()), *self._by_program.get("*", ())]
            if not rules:
                continue
            view = View(form, set(self.values.get(name, "").split()), free)
            yield from (rule for rule in rules if view.breaks(rule, name))


class View:
    """A command as rules look at it."""

    def __init__(self, command: Command, values: set[str], free: Sequence[str]) -> None:
        self._command = command
        self._free = free
        self._options: list[str] = []
        self._operands: list[Word] = []
        words = iter(command.arguments)
        for word in words:
            text = word.text
            if text == "--":
                self._operands += words
            elif text.startswith("-") and len(text) > 1:
                self._options.append(text)
                if text in values:
                    next(words, None)
            else:
                self._operands.append(word)
        self._joined = " ".join(re.sub(r"\s", "_", word.text) for word in self._operands)

    def breaks(self, rule: Rule, name: str) -> bool:
        """True if all that the rule asks for holds."""
        if not rule.is_about(name):
            return False
        if rule.code_from and not self._runs(rule.code_from.split()):
            return False
        if rule.words and not re.search(rule.words, self._joined):
            return False
        if rule.text and not self._says(rule.text):
            return False
        if rule.input and not re.search(rule.input, self._command.stdin.text or ""):
            return False
        if rule.statement and not self._says(rule.statement, _VALUES):
            return False
        if rule.fed_by and not any(_any_of(s.program, rule.fed_by.split()) for s in self._command.stdin.sources):
            return False
        if any(not self._has(flags) for flags in rule.flags):
            return False
        if self._options and (self._has("--help") or (rule.unless and self._has(rule.unless))):
            return False
        if self._options == ["--version"] and not self._operands:
            return False
        if rule.onto and not any(self._is_target(word, rule.onto) for word in self._operands[-1:]):
            return False
        return not rule.targets or any(self._is_target(word, rule.targets) for word in self._operands)

    def _has(self, flags: str) -> bool:
        return any(_is_flag(given, flag) for flag in flags.split() for given in self._options)

    def _is_target(self, word: Word, wanted: Sequence[str]) -> bool:
        folder = self._command.folder
        if folder and not word.text.startswith(("/", "~")) and UNKNOWN not in word.text:
            word = Word(f"{folder}/{word.text}", word.many)
        found = classes(word, self._free)
        value = word.text.partition("=")[2]
        if value:
            found |= classes(Word(value, word.many), self._free)
        return any(
            all((name.lstrip("!") in found) != name.startswith("!") for name in one.split("&")) for one in wanted
        )

    def _says(self, expression: str, without: re.Pattern[str] | None = None) -> bool:
        texts = [word.text for word in self._command.arguments] + [self._command.stdin.text or ""]
        texts = texts if without is None else [without.sub("''", text) for text in texts]
        return any(re.search(expression, text) for text in texts)

    def _runs(self, programs: Sequence[str]) -> bool:
        """True if the output of one of those programs is run as code."""
        command = self._command
        if not command.stdin.sources and not command.substituted:
            return False
        program = language(command.program)
        if any(_any_of(source.program, programs) for source in command.substituted) and self._evaluates(program):
            return True
        reads = (program in SHELLS and not self._operands_of_shell()) or program in {"source", "."}
        if program in INTERPRETERS:
            reads = code_in(program, command.arguments)[1] == "-"
        open_ = command.stdin.text is None or UNKNOWN in command.stdin.text
        return reads and open_ and any(_any_of(s.program, programs) for s in command.stdin.sources)

    def _evaluates(self, program: str) -> bool:
        if not any(UNKNOWN in word.text for word in self._command.arguments):
            return False
        return program == "eval" or ((program in SHELLS or program in INTERPRETERS) and self._has("-c -e -r --eval"))

    def _operands_of_shell(self) -> bool:
        return self._has("-c") or (
            bool(self._operands) and not self._has("-s") and self._operands[0].text not in {"-", "/dev/stdin"}
        )


def _is_in(name: str, found: frozenset[str]) -> bool:
    """True if the class is among those found; of `!class`, if it is not."""
    return (name.lstrip("!") in found) != name.startswith("!")


def _any_of(program: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(program, glob) for glob in globs)


def _is_flag(given: str, flag: str) -> bool:
    """True if a word is that flag: alone, in a cluster, with a value, or a long one cut short."""
    if given == flag:
        return True
    if flag.startswith("--"):
        name, _, value = given.partition("=")
        wanted, equals, wished = flag.partition("=")
        if equals and value != wished:
            return False
        return len(name) > 4 and name.startswith("--") and wanted.startswith(name)
    if len(flag) == 2:
        return re.fullmatch(r"-[A-Za-z0-9]{1,7}", given) is not None and flag[1] in given
    return (
        given.startswith("-")
        and (given.lstrip("-").partition("=")[0] == flag.lstrip("-"))
        and not given.endswith("=false")
    )


def _forms(command: Command, programs: frozenset[str]) -> Iterator[Command]:
    """The command, the programs that a glob or an open word in its place may stand for, and its redirections."""
    if command.words:
        yield command
        name = command.program
        if command.words[0].many or UNKNOWN in name:
            bare = name.replace(UNKNOWN, "")
            named = [one for one in programs if fnmatchcase(one, name)] if command.words[0].many else [bare]
            near = sorted(named, key=lambda one: (len(one), one))
            for one in near[:8]:
                if one:
                    yield Command((Word(one), *command.arguments), (), command.stdin, command.via)
    for redirect in command.redirects:
        if redirect.writes:
            name = ">" if redirect.truncates and _is_silent(command) else "write"
            yield Command((Word(name), redirect.target), via=command.via, folder=command.folder)


def _is_silent(command: Command) -> bool:
    """True if the command writes nothing, so that a redirection of it empties the file."""
    texts = [word.text for word in command.words]
    return (
        not texts
        or texts[0] in {":", "true"}
        or texts in (["cat", "/dev/null"], ["echo", "-n"], ["echo", "-n", ""], ["printf", ""], ["cp", "/dev/null"])
        or (texts == ["cat"] and any(r.target.text == "/dev/null" for r in command.redirects))
    )
