"""What a simple command does to the reading: state that it changes, and the commands that it runs in turn."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol

from luthien_stream.actions.shell import wrappers as w
from luthien_stream.actions.shell.languages import (
    INTERPRETERS,
    PROGRAM_FIRST,
    code_in,
    language,
    printed,
    read_code,
)
from luthien_stream.actions.shell.model import EMPTY, UNKNOWN, Command, Redirect, Stream, Word
from luthien_stream.actions.shell.outputs import output
from luthien_stream.actions.shell.state import State, place

SHELLS = frozenset(
    {"sh", "bash", "zsh", "dash", "ksh", "mksh", "ash", "fish", "csh", "tcsh", "rbash", "rksh", "sh.exe", "bash.exe"}
)
CLIENTS = frozenset({"psql", "mysql", "mariadb", "sqlite3", "sqlite"})
"""Database clients that have a way to a shell."""
MANY = "${__many}"
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
        self._state.add(command)

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
        alias = self._state.aliases.get(name)
        if alias is not None and "alias" not in command.via:
            return self.execute(_with(command, [*self._texts.fields(alias), *command.arguments], "alias"))
        if name in self._state.functions:
            self.emit(command)
            if name in self._active:
                return EMPTY
            return self._texts.call(name, command.arguments, command.stdin)
        command = self._fed(command)
        self.emit(command)
        builtin = self._builtins.get(command.program)
        if builtin is not None:
            builtin(command)
        inner = [self.execute(_with(command, words)) for words in self._argvs(command) if words]
        inner += [self._text(text, command, args) for text, args in self._shell_texts(command)]
        self._code(command)
        if inner and (command.program in w.PREFIXES or command.program in SHELLS or command.program == "eval"):
            return Stream(inner[-1].text, (*command.stdin.sources, *inner[-1].sources, command), True)
        return output(command, self._state.files)

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
            return [w.xargs(words)]
        if program in {"find", "gfind", "fd", "fdfind"}:
            return list(w.executed_by_find(words))
        if program == "env" and (split := list(w.option_values(words, {"-S", "--split-string"}))):
            return [[*self._texts.fields(split[0].text), *words[2:]]]
        if program in {"command", "type"} and words and re.fullmatch(r"-[vVp]*[vV]", words[0].text):
            return []
        if program in w.PREFIXES:
            return [w.behind(words, w.PREFIXES[program])]
        if program in w.RUNNERS:
            return [w.run_by(program, words)]
        if program == "socat":
            return [
                self._texts.fields(t)
                for word in words
                for t in re.findall(r"(?:EXEC|SYSTEM):\"?([^,\"]+)", word.text, re.I)
            ]
        if "-m" in (texts := [word.text for word in words]) and language(program) in {"python", "pypy"}:
            return [list(words[texts.index("-m") + 1 :])]
        return [_behind_unknown(program, words)]

    def _shell_texts(self, command: Command) -> list[tuple[str, Sequence[Word]]]:
        """Shell texts in the words or the input of this command, each with the arguments it is given."""
        program, words = command.program, command.arguments
        if program in SHELLS:
            return [(text, arguments) for text, arguments in self._of_shell(command) if text.strip()]
        texts: list[tuple[str, Sequence[Word]]] = []
        if program in w.JOINED:
            rest = w.behind(words, w.JOINED[program])
            texts.append((self._joined(program, rest), ()))
            if program == "ssh" and not rest:
                texts.append((_generated(command.stdin), ()))
        for value in w.option_values(words, set(w.TEXTS.get(program, "").split())):
            texts.append((value.text.lstrip("!"), ()))
        if program == "git":
            texts += [(text, ()) for text in _of_git(words)]
        if program in {"tmux", "screen"}:
            texts += [(word.text, ()) for word in words if " " in word.text]
        if program in {"at", "batch", "crontab", "su", "sudo", "source", "."} or _is_entering(program, words):
            text = _generated(command.stdin)
            texts.append((re.sub(r"(?m)^(?:\S+\s+){5}|^@\w+\s+", "", text) if program == "crontab" else text, ()))
        if program in CLIENTS:
            said = [word.text for word in words] + [command.stdin.text or ""]
            texts += [
                (t, ())
                for one in said
                for t in re.findall(r"(?:\\!|^\s*\.(?:shell|system)|^\s*system)\s+([^\n]+)", one, re.M)
            ]
        if program not in _NO_TEXT and not any(program in known for known in _UNDERSTOOD):
            texts += [(v.text, ()) for v in w.option_values(words, {"-c", "--command", "--cmd"}) if " " in v.text]
        return [(text, arguments) for text, arguments in texts if text.strip()]

    def _of_shell(self, command: Command) -> list[tuple[str, Sequence[Word]]]:
        """The text of `bash -c`, or what it reads."""
        words = command.arguments
        for at, word in enumerate(words):
            if re.fullmatch(r"-[a-zA-Z]*c[a-zA-Z]*|--command|--init-command|-C", word.text):
                rest = [one for one in words[at + 1 :] if one.text not in {"--"}]
                while rest and re.fullmatch(r"[-+][a-zA-Z]+", rest[0].text):
                    rest.pop(0)
                return [(rest[0].text, rest[2:])] if rest else []
            if not word.text.startswith(("-", "+")) and words[at - 1].text not in {"-o", "-O", "+O", "+o", "--rcfile"}:
                return []
        return [(_generated(command.stdin), [one for one in words if not one.text.startswith("-")])]

    def _joined(self, program: str, words: Sequence[Word]) -> str:
        if program == "parallel":
            ends = (at for at, word in enumerate(words) if word.text.startswith(":::"))
            words = w.filled(words[: next(ends, len(words))], ["{}"] if any("{}" in one.text for one in words) else [])
        separator = "\n" if program in {"hyperfine", "concurrently"} else " "
        return separator.join(word.text for word in words)

    def _text(self, text: str, command: Command, arguments: Sequence[Word] = ()) -> Stream:
        """Read a text within this command, `$1`... set to `arguments`."""
        before = self._state.positional([word.text for word in arguments], " ") if arguments else {}
        if any(word.many for word in arguments):
            self._state.variables["@"] = self._state.variables["1"] = UNKNOWN
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
        elif program in PROGRAM_FIRST:
            given = list(w.option_values(words, {"-e", "--expression"}))
            codes = [word.text for word in given or [one for one in words if not one.text.startswith("-")][:1]]
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
                    word.text, UNKNOWN + "\x1e" if given is None else given.strip("\n"), command.stdin.sources
                )

    def _set(self, command: Command) -> None:
        texts = [word.text for word in command.arguments]
        if "--" in texts:
            self._state.positional(texts[texts.index("--") + 1 :], "\x1f")

    def _source(self, command: Command) -> None:
        """Its input was set to the file where the text has made it."""


_NO_TEXT = frozenset(
    {
        "grep",
        "egrep",
        "fgrep",
        "rg",
        "ag",
        "gcc",
        "g++",
        "cc",
        "clang",
        "head",
        "tail",
        "wc",
        "cut",
        "git",
        "echo",
        "printf",
        "test",
        "stat",
        "rm",
        "cp",
        "commit",
    }
)
"""Programs whose `-c` is no command."""


_UNDERSTOOD = (w.TEXTS, w.PREFIXES, w.RUNNERS, INTERPRETERS, CLIENTS, {"xargs", "find", "socat"})


_TALKING = _NO_TEXT | {
    "man",
    "which",
    "whereis",
    "type",
    "help",
    "tldr",
    "apropos",
    "cat",
    "ls",
    "apt",
    "apt-get",
    "brew",
    "alias",
    "complete",
    "touch",
    "mkdir",
    "npm",
    "docker",
    "podman",
    "kubectl",
    "svn",
    "hg",
    "aws",
    "gsutil",
    "conda",
}


def _behind_unknown(program: str, words: Sequence[Word]) -> list[Word]:
    """The command behind a wrapper that no table knows: `wrap -x rm -rf ...`, `wrap bash -c ...`."""
    if program in _TALKING or program in SHELLS or language(program) in INTERPRETERS or program in w.TEXTS:
        return []
    for at, word in enumerate(words[:-1]):
        after = words[at + 1].text
        name = word.text.rpartition("/")[2]
        if (name == "rm" and re.fullmatch(r"-\w*[rRf]\w*|--recursive|--force", after)) or (
            name in SHELLS and re.fullmatch(r"-\w*c", after)
        ):
            return list(words[at:])
    return []


def _with(command: Command, words: Sequence[Word], name: str = "") -> Command:
    """The command that this one runs, with its input and its redirections already taken."""
    return Command(tuple(words), (), command.stdin, (*command.via, name or command.program), (), command.substituted)


def _is_entering(program: str, words: Sequence[Word]) -> bool:
    """True for a container's or host's shell that reads its commands from stdin."""
    return program in {"chroot", "nsenter"} and not w.behind(words, w.PREFIXES[program])


def _of_git(words: Sequence[Word]) -> list[str]:
    """Shell texts in git's words: aliases, pagers and editors set by `-c`, `submodule foreach`, filters."""
    texts = [
        word.text.partition("=")[2]
        for word in words
        if re.match(r"(?:alias\.|core\.|pager|.*editor|.*command)[^=]*=", word.text, re.I)
    ]
    found = [text.removeprefix("!") for text in texts if text.startswith("!") or " " in text]
    plain = [word.text for word in words if not word.text.startswith("-")]
    if plain[:2] == ["submodule", "foreach"]:
        found.append(" ".join(plain[2:]))
    if "filter-branch" in plain:
        found += [value.text for value in w.option_values(words, {"--tree-filter", "--index-filter", "--msg-filter"})]
    return found


def _generated(stdin: Stream) -> str:
    """The text that a shell reads: as it is, or what `awk`, `sed` or `xargs echo` would make of lines not known."""
    if stdin.text is not None:
        listed = any(source.program.endswith(("awk", "sed", "xargs")) for source in stdin.sources)
        return stdin.text.replace(UNKNOWN, MANY) if listed else stdin.text
    for source in reversed(stdin.sources):
        texts = [word.text for word in source.arguments]
        if source.program.endswith("awk") and texts:
            code = next((text for text in texts if "print" in text), "")
            return "\n".join(re.findall(r"'([^']*)'", printed(code))[1:]).replace(UNKNOWN, MANY)
        if source.program in {"sed", "gsed"}:
            made = [
                found[2]
                for text in texts
                for found in re.findall(r"s(.)((?:\\.|(?!\1).)*)\1((?:\\.|(?!\1).)*)\1", text)
            ]
            return "\n".join(re.sub(r"\\\d|(?<!\\)&", MANY, one) + " " + MANY for one in made)
        if source.program in {"echo", "printf"}:
            return " ".join(texts)
    return ""
