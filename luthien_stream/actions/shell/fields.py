"""Quoting, splitting and braces: from marked pieces of a word to the fields that a program is given."""

from __future__ import annotations

import re

from luthien_stream.actions.shell.model import UNKNOWN, Word

SPLIT, GLOB, MANY, QUOTED = "\x1f", "\x1d", "\x1e", "\x1b"
OPEN, COMMA, CLOSE = "\x02", "\x03", "\x04"
MARKS = frozenset((SPLIT, GLOB, MANY, QUOTED, OPEN, COMMA, CLOSE, UNKNOWN))
"""Characters that are ours within a word: taken out of the text before it is read."""
_BRACES = str.maketrans({"{": OPEN, ",": COMMA, "}": CLOSE})
_SPECIAL = re.compile(r"[\\*?\[{},]")
_PLAIN = str.maketrans({OPEN: "{", COMMA: ",", CLOSE: "}", GLOB: None, MANY: None, QUOTED: None})
_GROUP = re.compile(f"{OPEN}([^{OPEN}{CLOSE}]*(?:{COMMA}|\\.\\.)[^{OPEN}{CLOSE}]*){CLOSE}")
_ANSI = re.compile(r"\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|0?([0-7]{1,3})|c(.)|(.))", re.S)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "", "E": "", "f": "\f", "v": "\v"}
MOST_FIELDS = 128
"""Fields that braces may make of one word."""


def cleaned(text: str) -> str:
    """Take our marks out of a text, and what shells ignore."""
    return text.translate(dict.fromkeys(map(ord, MARKS))).replace("\0", "").replace("\r\n", "\n")


def bare(raw: str) -> str:
    """Unquoted text: backslashes resolved, globs and braces marked."""
    if _SPECIAL.search(raw) is None:
        return raw
    out: list[str] = []
    characters = iter(raw)
    for c in characters:
        if c == "\\":
            after = next(characters, "")
            out.append("" if after == "\n" else after + (QUOTED if after else ""))
        elif c in "*?[":
            out.append(GLOB + c)
        else:
            out.append(c.translate(_BRACES))
    return "".join(out)


def expanded(value: str) -> str:
    """The value of an unquoted `$x` or `$(x)`: split at white space, globs live."""
    return re.sub(r"[ \t\n]+", SPLIT, re.sub(r"([*?\[])", GLOB + r"\1", value))


def ansi(text: str) -> str:
    """Resolve the escapes of `$'...'`, `printf` and `echo -e`."""

    def one(found: re.Match[str]) -> str:
        number = found[1] or found[2] or found[3]
        if number:
            return chr(min(int(number, 16), 0x10FFFF))
        if found[4]:
            return chr(int(found[4], 8) & 0xFF)
        if found[5]:
            return ""
        return _ESCAPES.get(found[6], found[6])

    return cleaned(_ANSI.sub(one, text))


def in_quotes(raw: str) -> str:
    """Text within double quotes: the few backslashes that mean something there."""
    if "\\" not in raw:
        return raw
    return re.sub(r"\\([$`\"\\\n])", lambda found: "" if found[1] == "\n" else found[1], raw)


def fields(marked: str) -> list[Word]:
    """The words that a program is given for one word of the text."""
    if marked.isprintable():  # our marks are control characters
        return [Word(marked)] if marked else []
    words: list[Word] = []
    for part in marked.split(SPLIT):
        for one in _braces(part) if OPEN in part else (part,):
            text = plain(one)
            if text or QUOTED in one:
                words.append(Word(text, GLOB in one or MANY in one))
    return words


def plain(marked: str) -> str:
    """The text without marks."""
    return marked.translate(_PLAIN)


def _braces(marked: str) -> list[str]:
    """Expand `{a,b}`; a range `{1..9}` stands for many. What is past the bound stays as it is."""
    made, done = [marked], False
    while not done and len(made) < MOST_FIELDS:
        done = True
        once: list[str] = []
        for one in made:
            found = _GROUP.search(one)
            if found is None:
                once.append(one)
                continue
            done = False
            inner = found[1]
            options = inner.split(COMMA) if COMMA in inner else [inner.split("..")[0] + MANY]
            once += [one[: found.start()] + option + one[found.end() :] for option in options]
        made = once[: 2 * MOST_FIELDS]
    return made


_ROUGH = re.compile(r"\\((?s:.))|'([^']*)'?|\"((?:\\(?s:.)|[^\"\\])*)\"?|([ \t\n]+)|([^\\'\" \t\n]+)", re.S)


def roughly(piece: str) -> str:
    """The marked text of a piece of a line that the grammar does not understand: quotes and white space only."""
    out: list[str] = []
    for escaped, single, double, space, rest in _ROUGH.findall(piece):
        if space:
            out.append(SPLIT)
        elif rest:
            out.append(re.sub(r"\$\{?\w+\}?|\$[@*]", UNKNOWN, bare(rest)))
        else:
            out.append(escaped + single + in_quotes(double) + QUOTED)
    return "".join(out)
