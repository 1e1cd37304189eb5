"""What a simple command does to the reading: state that it changes, and the commands that it runs in turn."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec.structs import replace

from luthien_stream.actions.shell import tables as t
from luthien_stream.actions.shell import wrappers as w
from luthien_stream.actions.shell.fields import MANY
from luthien_stream.actions.shell.languages import (
    INTERPRETERS,
    PROGRAM_FIRST,
    SCREEN,
    code_in,
    language,
    read_code,
)
from luthien_stream.actions.shell.model import EMPTY, UNKNOWN, Command, Redirect, Stream, Word
from luthien_stream.actions.shell.outputs import distinct, output
from luthien_stream.actions.shell.state import State, place
from luthien_stream.actions.shell.texts import SHELLS, behind_unknown, shell_texts

_CODE_FIRST = t.Prefix("-v -F -f -l --assign --field-separator --file --arg --argjson --indent")
_PROGRAM = re.compile(r"/(?:usr/)?s?bin/[\w.-]+")
_MOVING = t.names("cd pushd popd source . eval")
"""Programs behind which a text may be somewhere else."""
OPEN = "${_}"
"""Stands in a text that is read again for what is open: a variable that nothing sets."""


class Texts(Protocol):
    """What reads a whole text, and calls functions: the reader. `active` names those that are being called."""

    active: set[str]

    def text(self, text: str, stdin: Stream = ..., via: tuple[str, ...] = ()) -> Stream:
        """Read a text; return what it puts out."""
        ...

    def fields(self, text: str) -> list[Word]:
        """The words of a text."""
        ...

    def call(self, name: str, arguments: Sequence[Word], stdin: Stream) -> Stream:
        """Read a function's body."""
        ...


class Executor:
    """Takes simple commands one by one, keeps them, and goes into those that run others."""

    def __init__(self, state: State, texts: Texts) -> None:
        self._state = state
        self._texts = texts
        self._active = texts.active
        self._builtins: dict[str, Callable[[Command], None]] = {
            "alias": self._alias,
            "trap": self._trap,
            "read": self._read,
            "mapfile": self._read,
            "readarray": self._read,
            "set": self._set,
            "source": self._source,
            ".": self._source,
        }

    def emit(self, command: Command) -> None:
        """Keep a command as it is."""
        moves = command.program in _MOVING or UNKNOWN in command.program
        if moves and any(before.program in _MOVING for before in self._state.commands):
            self._state.folder = ""
        self._state.add(replace(command, folder="" if command.via else self._state.folder))

    def execute(self, command: Command) -> Stream:
        """Keep a command and all that it runs; return what it puts out."""
        if not command.words:
            self.emit(command)
            return EMPTY
        self._state.enter()
        out = self._executed(command)
        self._state.leave()
        return out

    def _executed(self, command: Command) -> Stream:
        name = command.words[0].text
        alias = self._state.aliases.get(place(name))
        if alias is not None and "alias" not in command.via:
            return self.execute(_with(command, [*self._texts.fields(alias), *command.arguments], "alias"))
        if name in self._state.functions:
            self.emit(command)
            if name in self._active:
                return EMPTY
            return self._texts.call(name, command.arguments, command.stdin)
        command = self._fed(command)
        self.emit(command)
        self._keep_files(command)
        builtin = self._builtins.get(command.program)
        if builtin is not None:
            builtin(command)
        inner = [self.execute(_with(command, words)) for words in self._argvs(command) if words]
        inner += [self._text(text, command, args) for text, args in shell_texts(command)]
        inner += [self._text(value.text, command) for name, value in command.assignments if name in t.RUN_VARIABLES]
        self._code(command)
        if inner and (
            command.program in t.PREFIXES or command.program in SHELLS or command.program in {"eval", "xargs"}
        ):
            return Stream(inner[-1].text, distinct((*command.stdin.sources, *inner[-1].sources, command)), True)
        return output(command, self._state.files)

    def _keep_files(self, command: Command) -> None:
        """Remember the files that a command makes of what it reads, and the programs that it gives another name."""
        words = command.arguments
        if command.program == "tee":
            self._state.files |= {place(word.text): command.stdin for word in words}
        elif command.program in {"curl", "wget"}:
            fetched = Stream(None, (command,), True)
            options = {"-o", "--output", "-O", "--output-document"}
            self._state.files |= {place(word.text): fetched for word in w.option_values(words, options)}
        elif command.program in {"cp", "ln", "install"} and len(words) > 1 and _PROGRAM.fullmatch(words[-2].text):
            self._state.aliases[place(words[-1].text)] = words[-2].text

    def _fed(self, command: Command) -> Command:
        """Give a shell or an interpreter that runs a file of this text the file as its input."""
        operand = next((word.text for word in command.arguments if not word.text.startswith("-")), None)
        file = self._state.files.get(place(operand or ""))
        if file is None or not (self._is_shell(command) or command.program in {"source", "."}):
            file = self._state.files.get(place(command.words[0].text))
            return command if file is None else Command((Word("sh"),), command.redirects, file, command.via)
        kept = tuple(word for word in command.words if word.text != operand)
        return Command(kept, command.redirects, file, command.via, command.assignments, command.substituted)

    def _is_shell(self, command: Command) -> bool:
        return command.program in SHELLS or language(command.program) in INTERPRETERS

    def _argvs(self, command: Command) -> list[list[Word]]:
        """The commands that stand in this one's own words."""
        program, words = command.program, command.arguments
        if program == "xargs":
            return [w.xargs(words, _lines(command.stdin))]
        if program in {"find", "gfind", "fd", "fdfind"}:
            return list(w.executed_by_find(words))
        if program == "env" and (split := re.match(r"(?:-S|--split-string=?)\s*(.*)", _first(words), re.S)) is not None:
            rest = words[1:] if split[1] else words[2:]
            return [[*self._texts.fields(split[1] or _first(words[1:])), *rest]]
        if program in {"command", "type"} and words and re.fullmatch(r"-[vVp]*[vV]", words[0].text):
            return []
        if program in t.PREFIXES:
            return [w.behind(words, t.PREFIXES[program])]
        if program in t.RUNNERS:
            run = w.run_by(program, words)
            return [[*self._texts.fields(run[0].text), *run[1:]] if run and " " in run[0].text else run]
        if program == "socat":
            return [
                self._texts.fields(t)
                for word in words
                for t in re.findall(r"(?:EXEC|SYSTEM):\"?([^,\"]+)", word.text, re.I)
            ]
        if "-m" in (texts := [word.text for word in words]) and language(program) in {"python", "pypy"}:
            return [list(words[texts.index("-m") + 1 :])]
        return [behind_unknown(program, words)]

    def _text(self, text: str, command: Command, arguments: Sequence[Word] = ()) -> Stream:
        """Read a text within this command, `$1`... set to `arguments`."""
        values = [f"{MANY}{word.text}" if word.many else word.text for word in arguments]
        before = self._state.positional(values, " ") if arguments else {}
        out = self._texts.text(text.replace(UNKNOWN, OPEN), command.stdin, (*command.via, command.program))
        if arguments:
            self._state.variables.update({"@": "", "*": ""} | before)
        return out

    def _code(self, command: Command) -> None:
        """Read code of other languages in this command."""
        program, words = language(command.program), command.arguments
        codes: list[str] = []
        if program in INTERPRETERS:
            codes, script = code_in(program, words)
            if script == "-" and command.stdin.text is not None:
                codes.append(command.stdin.text)
            if program in SCREEN and command.stdin.text is not None:
                codes.append(command.stdin.text)
        elif program in PROGRAM_FIRST:
            given = list(w.option_values(words, {"-e", "--expression"}))
            codes = [word.text for word in given or w.behind(words, _CODE_FIRST)[:1]]
        for code in codes:
            for found in read_code(program, code[:65_536]):
                via = (*command.via, program)
                if isinstance(found, Redirect):
                    self.emit(Command((Word("printf"),), (found,), EMPTY, via))
                elif isinstance(found, str):
                    self._text(found, command)
                else:
                    self.execute(Command(tuple(found), (), EMPTY, via))

    def _alias(self, command: Command) -> None:
        for word in command.arguments:
            name, equals, value = word.text.partition("=")
            if equals:
                self._state.aliases[name] = value

    def _trap(self, command: Command) -> None:
        rest = [word for word in command.arguments if word.text not in {"-", "--"}]
        if len(rest) > 1 and not rest[0].text.startswith("-"):
            self._text(rest[0].text, command)

    def _read(self, command: Command) -> None:
        given = command.stdin.text
        for word in command.arguments:
            if re.fullmatch(r"\w+", word.text):
                self._state.set(
                    word.text, UNKNOWN + MANY if given is None else given.strip("\n"), command.stdin.sources
                )

    def _set(self, command: Command) -> None:
        texts = [word.text for word in command.arguments]
        if "--" in texts:
            self._state.positional(texts[texts.index("--") + 1 :], "\x1f")

    def _source(self, command: Command) -> None:
        """Its input was set to the file where the text has made it."""


def _with(command: Command, words: Sequence[Word], name: str = "") -> Command:
    """The command that this one runs, with its input and its redirections already taken."""
    substituted = command.substituted + (command.stdin.sources if command.program == "xargs" else ())
    return Command(tuple(words), (), command.stdin, (*command.via, name or command.program), (), substituted)


def _lines(stdin: Stream) -> list[Word]:
    """What `xargs` is given, where the text tells it: one word a line."""
    if stdin.text is None or UNKNOWN in stdin.text:
        return []
    return [Word(line) for line in stdin.text.split("\n") if line][:64]


def _first(words: Sequence[Word]) -> str:
    return words[0].text if words else ""
