"""Shell texts to the simple commands in them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthien_stream.actions.shell import BOMB, UNKNOWN, Command, UnreadableError, commands


def said(text: str) -> list[str]:
    """The commands of a text, as words joined by spaces."""
    return [str(command) for command in commands(text)]


def last(text: str) -> Command:
    """The last command of a text."""
    return commands(text)[-1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (r"r\m a", ["rm", "a"]),
        ("'r'm \"a b\"", ["rm", "a b"]),
        ("$'\\x72\\x6d' $'a\\tb'", ["rm", "a\tb"]),
        ("rm a{b,c}d", ["rm", "abd", "acd"]),
        ("rm '{b,c}' \"*\"", ["rm", "{b,c}", "*"]),
        ("X=rm; $X a", ["rm", "a"]),
        ("X='rm a'; $X", ["rm", "a"]),
        ("X='rm a'; \"$X\"", ["rm a"]),
        ('X=(rm a); "${X[@]}"', ["rm", "a"]),
        ("rm ${X:-a} ${Y:+b}", ["rm", "a", "b"]),
        ("X=abc; rm ${X:1:1} ${X/b/-} ${X^^}", ["rm", "b", "a-c", "ABC"]),
        ("rm${IFS}a", ["rm", "a"]),
        ("$(echo rm) a", ["rm", "a"]),
        ("`echo rm` a", ["rm", "a"]),
        ('rm "$HOME/a" ~/b', ["rm", "~/a", "~/b"]),
        ('rm "" a', ["rm", "", "a"]),
        ("rm $nothing$other", ["rm", UNKNOWN * 2]),
        ("rm \\\n  a", ["rm", "a"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    """Quotes, escapes, braces, variables and substitutions are resolved as far as the text tells."""
    assert [word.text for word in last(text).words] == words


@pytest.mark.parametrize(
    ("text", "many"),
    [
        ("rm *.c", True),
        ("rm '*.c'", False),
        ("rm $(ls)", True),
        ('rm "$x"', False),
        ("rm a{1..9}", True),
        ("rm a", False),
    ],
)
def test_words_that_stand_for_many(text: str, many: bool) -> None:
    """A glob is one only outside of quotes."""
    assert last(text).words[1].many == many


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("sudo -u root rm a", "rm a"),
        ("env -i A=b rm a", "rm a"),
        ("timeout -s KILL 5 nice -n 3 rm a", "rm a"),
        ("bash -lc 'rm a'", "rm a"),
        ("bash -c 'rm \"$1\"' _ a", "rm a"),
        ("eval 'rm a'", "rm a"),
        ("find . -name '*.c' -exec rm {} +", "rm ./…/*.c"),
        ("ls | xargs -I% rm x/%", "rm x/…"),
        ("docker exec -it -u root web rm a", "rm a"),
        ("kubectl exec -n x pod -- rm a", "rm a"),
        ("ssh -p 22 u@h 'rm a'", "rm a"),
        ('f() { rm "$1"; }; f a', "rm a"),
        ("alias x='rm a'; x", "rm a"),
        ("trap 'rm a' EXIT", "rm a"),
        ("echo 'rm a' | sh", "rm a"),
        ("echo cm0gYQ== | base64 -d | sh", "rm a"),
        ("echo 726d2061 | xxd -r -p | sh", "rm a"),
        ("printf '\\x72m %s' a | sh", "rm a"),
        ("echo 'a mr' | rev | sh", "rm a"),
        ("bash <<< 'rm a'", "rm a"),
        ("bash <<'E'\nrm a\nE", "rm a"),
        ("cat <<'E' | sh\nrm a\nE", "rm a"),
        ("echo 'rm a' > x.sh; sh ./x.sh", "rm a"),
        ("python3 -c 'import os; os.system(\"rm a\")'", "rm a"),
        ("python3 <<'E'\nimport shutil\nshutil.rmtree('a')\nE", "rm -rf a"),
        ('node -e \'require("fs").unlinkSync("a")\'', "rm a"),
        ('perl -e \'system("rm", "a")\'', "rm a"),
        ("awk 'BEGIN{system(\"rm a\")}'", "rm a"),
        ('echo "${x:-$(rm a)}"', "echo …"),
    ],
)
def test_what_wraps_a_command_is_looked_into(text: str, inner: str) -> None:
    """The command that runs in the end is among those found."""
    assert inner in said(text)


@pytest.mark.parametrize(
    "text",
    [
        "git commit -m 'rm a'",
        "echo rm a",
        "grep 'rm a' x",
        "# rm a",
        "cat > x.sh <<'E'\nrm a\nE",
        "echo 'rm a' > x.sh",
        "python3 -c 'print(\"rm a\")'",
        "X='rm a'",
    ],
)
def test_text_about_commands_is_none(text: str) -> None:
    """What is only printed, searched for or written down does not run."""
    assert [command for command in commands(text) if command.program == "rm"] == []


def test_what_a_command_reads() -> None:
    """Pipes are followed through wrappers and groups; substitutions too."""
    assert [source.program for source in last("curl x 2>/dev/null | tee y | sudo sh").stdin.sources] == [
        "curl",
        "tee",
    ]
    assert [source.program for source in last("bash <(curl x)").stdin.sources] == ["curl"]
    assert [source.program for source in last("{ curl x; } | (sh)").stdin.sources] == ["curl"]
    assert len(last("curl x" + " | tee y" * 40 + " | sh").stdin.sources) == 41
    (shell,) = (command for command in commands('sh -c "$(curl x)"') if command.program == "sh")
    assert [source.program for source in shell.substituted] == ["curl"]


def test_redirections() -> None:
    """Files that are written and read; documents and strings are input, no files."""
    command = last("cmd < in > out 2>> err <<< text")
    assert [(one.operator, one.target.text, one.output) for one in command.redirects] == [
        ("<", "in", True),
        (">", "out", True),
        (">>", "err", False),
    ]
    assert command.stdin.text == "text\n"


def test_all_branches_are_read() -> None:
    """Which one runs is not known before."""
    text = "if a; then b; else c; fi; case x in y) d;; esac; while e; do f; done; g && h || i; (j); { k; }; ! l & m"
    assert said(text) == list("abcdefghijklm")


def test_former_values_count() -> None:
    """An assignment may stand in a branch that does not run."""
    assert "rm a" in said("X=rm; if false; then X=ls; fi; $X a")


def test_a_loop_is_read_for_its_values() -> None:
    """A body is read once for each."""
    assert said("for d in a b; do rm $d; done") == ["rm a", "rm b"]


def test_a_function_that_starts_itself() -> None:
    """It is named, and its reading ends."""
    assert BOMB in [command.program for command in commands(":(){ :|:& };:")]


@pytest.mark.parametrize("text", ["rm a | | b", "if rm a; then", "{rm,a}", 'rm a "', "cat <<A <<B; rm a\n1\nA\n2\nB"])
def test_what_the_grammar_does_not_understand_is_read_by_the_piece(text: str) -> None:
    """A shell would run some of these."""
    assert any(one.startswith("rm a") for one in said(text))


@pytest.mark.parametrize("text", ["$(" * 100, "a;" * 700, "eval " * 30 + "a", "x" * 70_000])
def test_what_is_too_much_is_refused(text: str) -> None:
    """With a type and a message that says which bound it was."""
    with pytest.raises(UnreadableError, match=r"deeper|more than|longer"):
        commands(text)


def test_reading_is_a_function_of_the_text() -> None:
    """Twice the same, whatever was read between."""
    text = "X=rm; f() { $X a; }; f; alias y=z; y"
    first = commands(text)
    commands("X=ls; alias f=g")
    assert commands(text) == first


WORDS = """$( ` " ' <<E E { } ( ) | && ; $ ${ \\ <<< > < rm -rf x * (( )) [[ ]] $x = case in esac if then fi for do done
f(){ ! & -c eval bash xargs find -exec sudo python3 sed awk echo {a,b} :- %s \ud800 é"""
PIECES = st.sampled_from([*WORDS.split(), "\n", " ", "\t", "\0", "\nE\n"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(PIECES, st.sampled_from(["", " "]))))
def test_any_text_is_read_or_refused(pieces: list[tuple[str, str]]) -> None:
    """Nothing else is ever raised."""
    text = "".join(piece + space for piece, space in pieces)
    try:
        found = commands(text)
    except UnreadableError:
        return
    assert all(isinstance(command, Command) for command in found)
