"""Shell texts within a command: in its words, joined from them, or in what it reads."""

from __future__ import annotations

import re
from collections.abc import Sequence

from luthien_stream.actions.shell import tables as t
from luthien_stream.actions.shell import wrappers as w
from luthien_stream.actions.shell.languages import INTERPRETERS, language
from luthien_stream.actions.shell.model import UNKNOWN, Command, Stream, Word
from luthien_stream.actions.shell.one_liners import printed

SHELLS = t.names("sh bash zsh dash ksh mksh ash fish csh tcsh rbash rksh sh.exe bash.exe")
CLIENTS = frozenset({"psql", "mysql", "mariadb", "sqlite3", "sqlite"})
"""Database clients that have a way to a shell."""
MANY = "${__many}"
"""Stands in a text for any number of things."""
_NO_TEXT = t.names(
    "gh glab hub jj bd jira grep egrep fgrep rg ag gcc g++ cc clang head tail wc cut git echo printf test stat rm cp"
)
"""Programs whose `-c` is no command."""
_TALKING = _NO_TEXT | t.names(
    """man which whereis type help tldr apropos cat ls apt apt-get brew alias complete touch mkdir npm docker podman
    kubectl svn hg aws gsutil conda"""
)
"""Programs in whose words a command is only talked about, or has another meaning."""
_UNDERSTOOD = (t.TEXTS, t.PREFIXES, t.RUNNERS, INTERPRETERS, CLIENTS, {"xargs", "find", "socat"})


def shell_texts(command: Command) -> list[tuple[str, Sequence[Word]]]:
    """Shell texts in the words or the input of this command, each with the arguments it is given."""
    program, words = command.program, command.arguments
    if program in SHELLS:
        return [(text, arguments) for text, arguments in _of_shell(command) if text.strip()]
    texts: list[tuple[str, Sequence[Word]]] = []
    if program in t.JOINED:
        rest = w.behind(words, t.JOINED[program])
        texts.append((_joined(program, rest), ()))
        if program == "ssh" and not rest:
            texts.append((generated(command.stdin), ()))
    for value in w.option_values(words, set(t.TEXTS.get(program, "").split())):
        texts.append((value.text.lstrip("!"), ()))
    if program == "git":
        texts += [(text, ()) for text in _of_git(words)]
    if program in {"ssh", "scp", "sftp"}:
        options = (re.match(r"(?i)(?:-o)?(?:Proxy|Local|KnownHosts)Command[= ](.*)", word.text) for word in words)
        texts += [(found[1], ()) for found in options if found is not None]
    if program in {"make", "gmake"}:
        made = [value.text for value in w.option_values(words, {"--eval"})] + [command.stdin.text or ""]
        texts += [(re.sub(r"(?m)^[^\t\n]*?:(?!=)[^;\n]*;?|^\t[@-]*", "", one), ()) for one in made]
    if program in {"tmux", "screen"}:
        texts += [(word.text, ()) for word in words if " " in word.text]
    if program in {"at", "batch", "crontab", "su", "sudo", "source", "."} or _is_entering(program, words):
        text = generated(command.stdin)
        texts.append((re.sub(r"(?m)^(?:\S+\s+){5}|^@\w+\s+", "", text) if program == "crontab" else text, ()))
    if program in CLIENTS:
        said = [word.text for word in words] + [command.stdin.text or ""]
        texts += [
            (inner, ())
            for one in said
            for inner in re.findall(r"(?:\\!|^\s*\.(?:shell|system)|^\s*system)\s+([^\n]+)", one, re.M)
        ]
    if program not in _NO_TEXT and not any(program in known for known in _UNDERSTOOD):
        texts += [
            (v.text, ())
            for v in w.option_values(words, {"-c", "--command", "--cmd", "--exec", "--up"})
            if " " in v.text
        ]
    return [(text, arguments) for text, arguments in texts if text.strip()]


def _of_shell(command: Command) -> list[tuple[str, Sequence[Word]]]:
    """The text of `bash -c`, or what it reads; `bash -n` only checks it."""
    words = command.arguments
    if any(re.fullmatch(r"-[a-zA-Z]*n[a-zA-Z]*", word.text) for word in words[:1]):
        return []
    for at, word in enumerate(words):
        if re.fullmatch(r"-[a-zA-Z]*c[a-zA-Z]*|--command|--init-command|-C", word.text):
            rest = [one for one in words[at + 1 :] if one.text not in {"--"}]
            while rest and re.fullmatch(r"[-+][a-zA-Z]+", rest[0].text):
                rest.pop(0)
            return [(rest[0].text, rest[2:])] if rest else []
        takes = at > 0 and words[at - 1].text in {"-o", "-O", "+O", "+o", "--rcfile"}
        if not takes and not word.text.startswith(("-", "+")) and word.text not in {"/dev/stdin", "/dev/fd/0"}:
            return []
    return [(generated(command.stdin), [one for one in words if not one.text.startswith("-")])]


def _joined(program: str, words: Sequence[Word]) -> str:
    if program == "parallel":
        ends = (at for at, word in enumerate(words) if word.text.startswith(":::"))
        words = w.filled(words[: next(ends, len(words))], ["{}"] if any("{}" in one.text for one in words) else [])
    separator = "\n" if program in {"hyperfine", "concurrently"} else " "
    return separator.join(MANY if word.many and word.text == UNKNOWN else word.text for word in words)


def behind_unknown(program: str, words: Sequence[Word]) -> list[Word]:
    """The command behind a wrapper that no table knows: `wrap -x rm -rf ...`, `wrap bash -c ...`."""
    if program in _TALKING or program in SHELLS or language(program) in INTERPRETERS or program in t.TEXTS:
        return []
    for at, word in enumerate(words[:-1]):
        after = words[at + 1].text
        name = word.text.rpartition("/")[2]
        if (name == "rm" and re.fullmatch(r"-\w*[rRf]\w*|--recursive|--force", after)) or (
            name in SHELLS and re.fullmatch(r"-\w*c", after)
        ):
            return list(words[at:])
    return []


def _is_entering(program: str, words: Sequence[Word]) -> bool:
    """True for a container's or host's shell that reads its commands from stdin."""
    return program in {"chroot", "nsenter"} and not w.behind(words, t.PREFIXES[program])


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
        foreach = next(at for at, word in enumerate(words) if word.text == "foreach")
        found.append(" ".join(word.text for word in w.behind(words[foreach + 1 :], t.Prefix())))
    if plain[:1] == ["config"]:
        found += [text.removeprefix("!") for text in plain[1:] if text.startswith("!") or " " in text]
    if "filter-branch" in plain:
        found += [value.text for value in w.option_values(words, {"--tree-filter", "--index-filter", "--msg-filter"})]
    return found


def generated(stdin: Stream) -> str:
    """The text that a shell reads: as it is, or what `awk`, `sed` or `xargs echo` would make of lines not known."""
    if stdin.text is not None:
        return stdin.text.replace(UNKNOWN, MANY)
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
        if source.program == "find" and "-printf" in texts[:-1]:
            return re.sub(r"%\w", MANY, texts[texts.index("-printf") + 1])
        if source.program in {"echo", "printf"}:
            return " ".join(texts).replace(UNKNOWN, MANY)
    return ""
