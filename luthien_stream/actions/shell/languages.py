"""Code of other languages that stands in a shell text: the shell commands, deletions and statements in it.

No language is parsed. Calls are known by their names, arguments by their string literals; what is not literal is
`UNKNOWN`. Deletions are given as the `rm` that does the same.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence

from luthien_stream.actions.shell.fields import ansi
from luthien_stream.actions.shell.model import UNKNOWN, Redirect, Word
from luthien_stream.actions.shell.one_liners import awk_or_sed

INTERPRETERS: dict[str, tuple[str, str]] = {
    "python": ("c", ""),
    "pypy": ("c", ""),
    "ipython": ("c", ""),
    "perl": ("eE", ""),
    "ruby": ("e", ""),
    "node": ("ep", "--eval --print"),
    "nodejs": ("ep", "--eval --print"),
    "bun": ("ep", "--eval --print"),
    "deno": ("", "eval"),
    "php": ("rBRE", "--run --process-code --process-begin --process-end"),
    "lua": ("e", ""),
    "luajit": ("e", ""),
    "tclsh": ("", ""),
    "Rscript": ("e", ""),
    "julia": ("eE", "--eval --print"),
    "elixir": ("e", "--eval"),
    "groovy": ("e", ""),
    "scala": ("e", ""),
    "swift": ("e", ""),
    "osascript": ("e", ""),
    "irb": ("", ""),
    "guile": ("c", ""),
    "ghc": ("e", ""),
    "gdb": ("", "-ex --ex --eval-command -iex"),
    "lldb": ("o", "--one-line"),
    "vim": ("c", "--cmd"),
    "vi": ("c", "--cmd"),
    "nvim": ("c", "--cmd"),
    "ex": ("c", "--cmd"),
    "view": ("c", "--cmd"),
    "rvim": ("c", "--cmd"),
    "rview": ("c", "--cmd"),
    "emacs": ("", "--eval"),
    "ed": ("", ""),
}
"""Interpreter (any version of it) to the letters and the long names of the options whose value is code."""
PROGRAM_FIRST = frozenset({"awk", "gawk", "mawk", "nawk", "sed", "gsed", "jq"})
"""Interpreters whose first operand is the program."""
BACKQUOTES = frozenset({"perl", "ruby", "php"})
SCREEN = frozenset({"vim", "vi", "nvim", "ex", "view", "ed", "gdb", "lldb"})
"""Those in which a line that begins with `!` is for the shell."""

_STRING = (
    r"""(?:[rbfuRBFU]{0,2})(?:'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"|"""
    r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`)"""
)
_LITERAL = re.compile(_STRING, re.S)
_RUN = re.compile(
    r"(?<![\w$])(?:system|os\.execute|popen[23]?|exec(?:Sync|File|FileSync|[lv]p?e?)?|spawn(?:Sync|[lv]p?e?)?|run|call|check_call|check_output|Popen"
    r"|getoutput|getstatusoutput|create_subprocess_(?:shell|exec)|shell_exec|passthru|proc_open|pcntl_exec|capture[23]e?|pipeline"
    r"|shell|do\s+shell\s+script|qx|sh|cmd|command|execSync|\$)(?:\s*\(\s*|\s+|\s*(?=['\"`{]))(?:\w+\s*=\s*)?(?=[\[\"'`rbfRBF{])"
)
_QX = re.compile(
    r"(?<![\w$])(?:qx|%x|(?:system|exec)\s+q[qw]?)\s*"
    r"(?:\{(.*?)\}|\((.*?)\)|\[(.*?)\]|(?P<mark>[/|!])(.*?)(?P=mark))",
    re.S,
)
_DELETE = re.compile(
    r"(?<![\w$])(?P<tree>rmtree|rm_rf?|rm_r|remove_tree|remove_dir_all|remove_entry_secure|rmSync|rmdirSync|removeSync|emptyDirSync|rimraf(?:\.sync)?"
    r"|(?:fs|fsp|promises|FileUtils)\.rm(?!_)(?=\s*\()|deltree|RemoveAll|delete_tree|delete-directory|Deno\.remove(?:Sync)?)\s*\(?\s*(?=[\[\"'`\w/$@.*(])"
    r"|(?<![\w$])(?P<one>unlink(?:Sync|_file)?|os\.remove|os\.unlink|os\.removedirs|File\.delete|FileUtils\.rm(?!_)|remove_file|delete_file)\s*\(?\s*(?=[\[\"'`\w/$@.*(<]|\Z)"
)
_PATH_DELETE = re.compile(rf"Path\(\s*({_STRING}|[^()]*)\s*\)\.(?:unlink|rmdir)\(", re.S)
_EXECUTE = re.compile(
    rf"(?:\.|\b)(?:execute|executescript|query|exec_driver_sql|do)\s*\(\s*(?:text\(\s*)?({_STRING})", re.S
)
_OPEN = re.compile(
    rf"\bopen\s*\(\s*({_STRING})\s*,\s*['\"][wax]|\b(?:writeFileSync|writeFile|file_put_contents|File\.write)\s*\(\s*({_STRING})",
    re.S,
)
_TRUNCATED = re.compile(rf"\b(?:truncate|truncateSync)\s*\(\s*({_STRING})", re.S)
_DECODED = re.compile(
    rf"(?:b64decode|base64_decode|decode64|atob|Buffer\.from|fromhex|unhexlify|hex2bin|decode_base64)\s*\(\s*({_STRING})",
    re.S,
)
_LINE = re.compile(r"^[ \t]*(?:!+|%(?:sx|system)[ \t])([^\n]+)", re.M)
_CELL = re.compile(r"\A\s*%%(?:ba)?sh\b[^\n]*\n(.+)", re.S)
"""What a notebook gives to a shell: lines behind `!`, and cells of `%%bash`."""
_MANY = re.compile(r"\b(?:for|while|foreach|map|each|glob|walk|listdir|scandir|readdir\w*|forEach)\b|<\*|\*\.")
_CHARACTERS = re.compile(
    r"(?:chr|String\.fromCharCode|pack)\s*\(\s*((?:0x[0-9a-fA-F]+|\d+)(?:\s*,\s*(?:0x[0-9a-fA-F]+|\d+))*)\s*\)"
)
_JOIN = re.compile(r"(['\"])\s*(?:\+|\.\.?|\n)\s*\1")
_SOCKET = re.compile(r"socket|fsockopen|/inet/tcp|\bnet\b.{0,3}\)?\.connect", re.I)
_DUPLICATED = re.compile(r"dup2|pty\.spawn|/bin/(?:ba|z|da)?sh|cmd\.exe|>&\d?S|(?:io|IO)\.popen|\|&\s*getline")
_FETCHED = re.compile(
    r"urlopen|urllib|requests\.get|https?\.get|fetch\s*\(|LWP|\bget\s*\(?\s*['\"]https?:|open-uri|URI\.open|file_get_contents\s*\(\s*['\"]http|curl",
    re.I,
)
_EVALUATED = re.compile(
    r"(?<![\w.])(?:exec|eval|Function|instance_eval|loadstring|load|compile|assert)\s*\(?|\bnew Function"
)

Found = str | list[Word] | Redirect
"""A shell text, the words of a command, or a redirection."""


def language(program: str) -> str:
    """The interpreter's name without its version; the program itself where it is none."""
    plain = re.sub(r"[\d.]+$", "", program)
    return plain if plain in INTERPRETERS else program


def code_in(program: str, words: Sequence[Word]) -> tuple[list[str], str | None]:
    """The code in an interpreter's options, and its script; the script is `-` where the code comes through stdin."""
    letters, names = INTERPRETERS[program]
    long = set(names.split())
    code: list[str] = []
    at = 0
    while at < len(words):
        text = words[at].text
        name, equals, value = text.partition("=")
        cluster = re.fullmatch(rf"-\w*?[{letters}](.*)", text, re.S) if letters and not text.startswith("--") else None
        if cluster is not None or text in long:
            inline = cluster[1] if cluster is not None else ""
            code.append(inline or (words[at + 1].text if at + 1 < len(words) else ""))
            at += 1 if inline else 2
        elif equals and name in long:
            code.append(value)
            at += 1
        elif text == "-m":
            return code, "-m"
        elif text.startswith("+") and program in SCREEN:
            code.append(text[1:])
            at += 1
        elif text.startswith("-") and text != "-":
            at += 1
        else:
            return code, None if code else _script(text)
    return code, None if code or program in SCREEN else "-"


def _script(operand: str) -> str:
    return "-" if operand in {"/dev/stdin", "/dev/fd/0"} else operand


def read_code(program: str, code: str, depth: int = 0) -> Iterator[Found]:
    """Everything in a piece of code that a shell would do as well."""
    code = _CHARACTERS.sub(_characters, code)
    code = _JOIN.sub("", code)
    many = bool(_MANY.search(code))
    for found in _RUN.finditer(code):
        text = _arguments(code, found.end())
        if text:
            yield text
    for found in _QX.finditer(code):
        yield next((text for text in (found[1], found[2], found[3], found[5]) if text), "")
    if program in BACKQUOTES:
        yield from (ansi(inner) for inner in re.findall(r"`((?:\\.|[^`\\])+)`", code))
    if program in SCREEN:
        yield from re.findall(r"(?:^|[\n|]|silent|:)\s*(?:!+|shell\b)\s*([^\n]+)", code)
        for path in re.findall(r"(?:^|[\n|:])\s*(?:w|wq|write|saveas|x)!?\s+([^\s|]+)", code):
            yield Redirect(">", Word(path))
    if language(program) in {"python", "ipython"}:
        yield from [*_LINE.findall(code), *_CELL.findall(code)]
    yield from awk_or_sed(program, code)
    for found in _DELETE.finditer(code):
        yield [Word("rm"), *([Word("-rf")] if found["tree"] else []), *_targets(code, found.end(), many)]
    for found in _PATH_DELETE.finditer(code):
        yield [Word("rm"), *_literals(found[1], many)]
    for found in _EXECUTE.finditer(code):
        yield [Word("psql"), Word("-c"), Word(_literal(found[1]))]
    for found in _OPEN.finditer(code):
        yield Redirect(">", Word(_literal(found[1] or found[2])))
    for found in _TRUNCATED.finditer(code):
        yield [Word("truncate"), Word("-s"), Word("0"), Word(_literal(found[1]))]
    if _SOCKET.search(code) and _DUPLICATED.search(code):
        yield [Word("reverse-shell"), Word(program)]
    if _FETCHED.search(code) and _EVALUATED.search(code):
        yield [Word("fetch-and-evaluate"), Word(program)]
    if depth < 3:
        for found in _DECODED.finditer(code):
            decoded = decode(_literal(found[1]))
            if decoded:
                yield decoded
                yield from read_code(program, decoded, depth + 1)
        for found in re.finditer(rf"(?<![\w.])(?:exec|eval)\s*\(?\s*({_STRING})", code, re.S):
            yield from read_code(program, _literal(found[1]), depth + 1)


def decode(text: str) -> str | None:
    """Base64 or hexadecimal as text; None where it is neither."""
    plain = re.sub(r"\s", "", text)
    if re.fullmatch(r"(?:[0-9a-fA-F]{2})+", plain):
        return bytes.fromhex(plain).decode("utf-8", "replace")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return None


def said(code: str) -> str | None:
    """What code prints, if all that is literal: `print("x")`, `puts "x"`; None where there is nothing."""
    found = re.findall(rf"\b(?:print|puts|echo|say|console\.log|printf)\s*\(?\s*({_STRING})", code, re.S)
    return "\n".join(map(_literal, found)) if found else None


def _arguments(code: str, at: int) -> str:
    """The command of a call: one string, or a list of them quoted again."""
    rest = code[at : at + 4_000]
    if rest.startswith("{"):
        return ""
    listed = rest.startswith("[")
    texts: list[str] = []
    position = 1 if listed else 0
    while (found := _LITERAL.match(rest, position)) is not None:
        texts.append(_literal(found.group()))
        after = re.compile(r"\s*,?\s*\[?\s*").match(rest, found.end())
        position = after.end() if after is not None else found.end()
        if not rest[found.end() : position].strip().startswith(","):
            break
    if not texts:
        return ""
    if listed and not rest.startswith("]", position):
        texts.append(UNKNOWN)
    return texts[0] if len(texts) == 1 and not listed else " ".join(map(_again, texts))


def _again(text: str) -> str:
    """The text in quotes again, what is open outside of them."""
    return "'" + text.replace("'", "'\\''").replace(UNKNOWN, f"'{UNKNOWN}'") + "'"


def _targets(code: str, at: int, many: bool) -> list[Word]:
    """The paths that a deletion names."""
    rest = re.compile(r"[^;)\n]{0,400}").match(code, at)
    return _literals(rest.group() if rest is not None else "", many)


def _literals(text: str, many: bool) -> list[Word]:
    found = [Word(_literal(one), many) for one in _LITERAL.findall(text)]
    paths = [one for one in found if one.text not in {"w", "r"}]
    return paths or [Word(UNKNOWN, many)]


def _literal(source: str) -> str:
    """The value of a string literal; `{x}` of f-strings and `${x}`, `#{x}` are open."""
    prefix = re.match(r"[a-zA-Z]*", source)
    body = source[prefix.end() if prefix is not None else 0 :]
    body = body[3:-3] if body[:3] in {"'''", '"""'} else body[1:-1]
    body = re.sub(r"[#$]\{[^}]*\}", UNKNOWN, body)
    if "f" in source[:2].lower() and source[0].isalpha():
        body = re.sub(r"\{[^}]*\}", UNKNOWN, body)
    return ansi_kept(body)


def ansi_kept(body: str) -> str:
    """Escapes resolved; what is open stays open."""
    return UNKNOWN.join(ansi(part) for part in body.split(UNKNOWN))


def _characters(found: re.Match[str]) -> str:
    numbers = [int(one, 0) for one in re.split(r"\s*,\s*", found[1].strip())]
    return '"' + "".join(chr(n) for n in numbers if 9 <= n < 0x110000) + '"'
