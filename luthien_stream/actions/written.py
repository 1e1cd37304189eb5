"""Which files a shell command writes, as far as its words say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from luthien_stream.actions.shell import UNKNOWN, Command, UnreadableError, Word
from luthien_stream.actions.shell.languages import INTERPRETERS, language

ALL = frozenset(
    ("tee", "touch", "sponge", "truncate", "patch", "ed", "ex", "vi", "vim", "nvim", "nano", "mkfifo", "rename")
)
"""Programs that write all of their operands."""
INTO = frozenset(
    ("cp", "gcp", "install", "ginstall", "ln", "link", "rsync", "scp", "ditto", "copy", "xcopy", "copy-item", "split")
)
"""Programs that write the last operand, or into it; `mv` takes the others away, too."""
IN_PLACE = frozenset(("sed", "gsed", "perl", "ruby", "awk", "gawk"))
LONGEST = 65_536
"""Characters of a piece of code that is looked at."""
NAMED = {
    "curl": ("o", "output output-dir cookie-jar dump-header"),
    "wget": ("OPa", "output-document directory-prefix output-file append-output"),
    "aria2c": ("do", "dir out"),
    "tar": ("C", "directory"),
    "bsdtar": ("C", "directory"),
    "unzip": ("d", ""),
    "7z": ("o", ""),
    "openssl": ("", "out keyout"),
    "ssh-keygen": ("f", ""),
    "gpg": ("o", "output"),
    "sort": ("o", "output"),
    "set-content": ("", "path literalpath"),
    "add-content": ("", "path literalpath"),
    "out-file": ("", "filepath literalpath"),
    "new-item": ("", "path"),
}
"""Program to the letters and names of options whose value is a file or folder that it writes."""
_LITERAL = re.compile(
    r"""'''(?:\\.|[^\\])*?(?:'''|\\?\Z)|\"\"\"(?:\\.|[^\\])*?(?:\"\"\"|\\?\Z)
    |'(?:\\.|[^'\\\n])*(?:'|\\?\Z|(?=\n))|"(?:\\.|[^"\\\n])*(?:"|\\?\Z|(?=\n))|`(?:\\.|[^`\\])*(?:`|\\?\Z)""",
    re.VERBOSE | re.DOTALL,
)
"""A string of most languages; an unclosed one ends with its line or the text, so that looking takes linear time."""
_STRING = "\ue000[0-9]{1,6}\ue000"
"""What stands for the string of that number while calls are looked for."""
_GIVEN = rf"(?:[\w.]{{1,40}}\(\s{{0,9}}){{0,3}}[rbfuRBFU]{{0,2}}({_STRING})\s{{0,9}}\){{0,3}}(?:\.\w+\(\)){{0,2}}"
_CODE = re.compile(
    rf"""\bopen\s{{0,9}}\(\s{{0,9}}{_GIVEN}\s{{0,9}},\s{{0,9}}(?:mode\s?=\s?)?[rbf]?({_STRING})
    |{_GIVEN}\)?\.(?:write_text|write_bytes|symlink_to|touch)\b
    |{_GIVEN}\)?\.open\(\s{{0,9}}(?:mode\s?=\s?)?({_STRING})
    |\b(?:(?:write|append|truncate)File(?:Sync)?|createWriteStream|outputFile(?:Sync)?|file_put_contents|File\.(?:write|open)
      |IO\.write|WriteFile|fs::write|File::create|os\.Create|Bun\.write|writeTextFile(?:Sync)?)\s{{0,9}}\(\s{{0,9}}{_GIVEN}
    |\b(?:copy2?|copyfile|copytree|move|renames?|replace|symlink|link|copyFile(?:Sync)?|rename(?:Sync)?|symlink(?:Sync)?|cp(?:Sync)?)
      \s{{0,9}}\([^,()]{{1,200}}(?:\([^()]{{0,200}}\))?,\s{{0,9}}{_GIVEN}""",
    re.VERBOSE,
)
_PERL = re.compile(
    rf"\bopen\s{{0,9}}\(?\s{{0,9}}[\w$ ]{{1,40}},\s{{0,9}}({_STRING})(?:\s{{0,9}},\s{{0,9}}({_STRING}))?"
)
"""Perl's `open` of a handle: what begins with `>` is written."""
_REMOTE = re.compile(r"[\w.@-]{2,}:")
_GIT_CONFIG = re.compile(
    r"(?:core\.(?:hookspath|fsmonitor|sshcommand|editor|pager|gitproxy|askpass|attributesfile|worktree)|credential\..*|alias\..*"
    r"|include(?:if)?\..*|url\..*|https?\..*|filter\..*|diff\..*\.(?:command|textconv)|diff\.external|merge\..*\.driver|gpg\..*"
    r"|sequence\.editor|pager\..*|difftool\..*|mergetool\..*|browser\..*|man\..*|sendemail\..*|submodule\..*|uploadpack\..*"
    r"|protocol\..*|remote\..*\.(?:uploadpack|receivepack|vcs|proxy)|init\.templatedir|safe\.directory=\*)",
    re.IGNORECASE,
)


def written(commands: Iterable[Command]) -> Iterator[str]:
    """Paths that commands write, in order; relative ones also from where a `cd` before them leads."""
    folders: list[str] = []
    for command in commands:
        if command.program in ("cd", "pushd", "set-location", "chdir"):
            folders = [*folders, command.arguments[0].text if command.arguments else "~"][-4:]
        for path in _written(command):
            yield path
            if not path.startswith(("/", "~", "$")):
                yield from (f"{folder}/{path}" for folder in folders)


def written_by_code(code: str) -> Iterator[str]:
    """Paths that code of a common language writes, where they stand in it as literals. Raises `UnreadableError`."""
    if len(code) > LONGEST:
        raise UnreadableError(f"code of more than {LONGEST} characters")
    literals: list[str] = []

    def keep(found: re.Match[str]) -> str:
        literals.append(found[0])
        return f"\ue000{len(literals) - 1}\ue000"

    text = _LITERAL.sub(keep, code.replace("\ue000", ""))
    for found in _PERL.finditer(text):
        mode, path = [literals[int(group.strip("\ue000"))].strip("'\"`") if group else "" for group in found.groups()]
        if mode.startswith((">", "+>")):
            yield path or mode.lstrip("+> ")
    for found in _CODE.finditer(text):
        numbers = [int(group.strip("\ue000")) for group in found.groups() if group]
        is_written = all(any(mode in literals[n][:8] for mode in "wax+") for n in numbers[1:])
        if is_written:
            yield literals[numbers[0]].strip("'\"`")


def _written(command: Command) -> Iterator[str]:
    for redirect in command.redirects:
        if redirect.writes:
            yield redirect.target.text
    program = command.program.casefold().removesuffix(".exe")
    words = [word.text for word in command.arguments]
    if UNKNOWN in words and command.stdin.text:  # what `xargs` puts there
        words += command.stdin.text.split()[:100]
    operands = [word for word in words if not word.startswith("-")]
    if program in ALL:
        yield from operands
    elif program in INTO:
        yield from _into(words, operands)
    elif program in ("mv", "move", "gmv", "move-item"):
        yield from [*operands[:-1], *_into(words, operands)]
    elif program in IN_PLACE and any(re.match(r"-[a-zA-Z]*i|--in-place|-i", word) for word in words):
        yield from (
            operands if any(re.match(r"-[a-zA-Z]*[ef]$|--expression|--file", word) for word in words) else operands[1:]
        )
    elif program == "dd":
        yield from (word[3:] for word in words if word.startswith("of="))
    elif program == "crontab" and "-l" not in words:
        yield "/var/spool/cron/crontab"
    elif program == "git":
        yield from _git(words)
    yield from _named(program, command.arguments)
    if language(program) in INTERPRETERS:
        for text in [*words, command.stdin.text or ""]:
            yield from written_by_code(text)


def _into(words: Sequence[str], operands: Sequence[str]) -> Iterator[str]:
    """The last operand, or the folder given by `-t`, and what the others are called in it."""
    folders = [word.partition("=")[2] for word in words if word.startswith("--target-directory=")]
    folders += [behind for word, behind in pairwise(words) if word in ("-t", "--target-directory")]
    into = [*folders, *operands[-1:]] if not _REMOTE.match("".join(operands[-1:])) else folders
    yield from into
    for folder in into:
        for name in operands:
            last = name.rstrip("/").rpartition("/")[2]
            if last and name is not operands[-1]:
                yield f"{folder}/{last}"


def _git(words: Sequence[str]) -> Iterator[str]:
    """Configuration with which git runs or fetches something else."""
    if "config" not in words or any(word.startswith(("--get", "--list", "--unset")) or word == "-l" for word in words):
        return
    if any(_GIT_CONFIG.fullmatch(word) for word in words) or "--edit" in words:
        yield "~/.gitconfig" if {"--global", "--system"} & set(words) else ".git/config"


def _named(program: str, words: Sequence[Word]) -> Iterator[str]:
    if program in ("tar", "bsdtar") and not (words and re.match(r"-?\w*x|--(?:extract|get)", words[0].text)):
        return  # where it reads from
    letters, names = NAMED.get(program, ("", ""))
    long = names.split()
    for at, word in enumerate(words):
        behind = words[at + 1].text if at + 1 < len(words) else ""
        name, equals, value = word.text.lstrip("-").partition("=")
        if not word.text.startswith("-"):
            continue
        if name.casefold() in long:
            yield value if equals else behind
        elif letters and not word.text.startswith("--") and (found := re.match(rf"-\w*?[{letters}](.*)", word.text)):
            yield found[1] or behind
