"""Secrets are found whatever stands around them, masked whole however they are cut, and nothing else is."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable

import pytest

from luthien_stream.events.answer import Part, Text
from luthien_stream.text.flow import Flow, edited
from luthien_stream.text.known_secrets import KNOWN
from luthien_stream.text.secret_scan import LONGEST, SecretScan
from luthien_stream.text.secrets import Finder, Rule, entropy
from tests.unit.text.carried import cut
from tests.unit.text.samples import DENSE, HARMLESS, KEY, NUMBERED, PEM, SECRETS, TOKENS, TOLD, mixed

FINDER = Finder(KNOWN)
PART = Part("f", "text", 0)
AROUND = ("{}", "It is {}.", '"{}"', "`{}`,", "key={}\n", "({})", "[x]({})", "a\t{}\tb", "これは{}です")


def masked(text: str, finder: Finder = FINDER) -> str:
    return edited(SecretScan(finder, lambda rule, secret: "#"), text)


def flowed(pieces: Iterable[str], finder: Finder = FINDER, name: str = "") -> tuple[str, list[int]]:
    """What leaves of a text in pieces, and how much was held after each; a placeholder tells its secret's length."""
    flow = Flow(lambda: SecretScan(finder, lambda rule, secret: name or f"‹{rule} {len(secret)}›"))
    left: list[str] = []
    held: list[int] = []
    for piece in pieces:
        left += [out.text for out in flow.take(Text(piece, PART))]
        held.append(flow.held)
    return "".join([*left, *(out.text for out in flow.flush())]), held


@pytest.mark.parametrize("name", TOKENS)
def test_tokens_are_found_by_their_form(name: str) -> None:
    """And only they are taken out of what stands around them."""
    for around in AROUND:
        assert masked(around.format(TOKENS[name])) == around.format("#")


@pytest.mark.parametrize("name", TOLD)
def test_secrets_are_found_by_what_is_said_before_them(name: str) -> None:
    """The secret is masked, what tells it stays."""
    said, secret = TOLD[name]
    assert masked(said.format(secret)) == said.format("#")
    assert masked(f"One line.\n{said.format(secret)}\nAnother.") == f"One line.\n{said.format('#')}\nAnother."


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_it_stays(text: str) -> None:
    """Prose about secrets, variables, digests, identifiers, and our own placeholders."""
    assert masked(text) == text


def test_a_key_is_found_in_numbered_lines() -> None:
    """No line of it is left."""
    left = masked(NUMBERED)
    assert not any(line in left for line in KEY.split("\n"))


def test_headers_without_keys_are_read_in_time_that_grows_with_them() -> None:
    """Twenty times as many take twenty times as long, not four hundred."""
    header = "-----BEGIN RSA PRIVATE KEY-----\n"

    def seconds(count: int) -> float:
        begin = time.process_time()
        assert masked(header * count) == header * count
        return time.process_time() - begin

    assert seconds(4_000) < 80 * max(seconds(200), 0.005)


def test_cuts_do_not_matter() -> None:
    """Dense text cut anywhere gives what the whole gives."""
    whole, _ = flowed([DENSE])
    assert [secret for secret in SECRETS if secret in whole] == []
    chance = random.Random(7)
    for _ in range(12):
        left, held = flowed(cut(DENSE, chance))
        assert left == whole
        assert max(held) < len(PEM) + 3 * LONGEST


def test_words_leave_when_they_are_over() -> None:
    """Only the run in hand is held, and of a long run no more than the bound."""
    left, held = flowed(["One ", "two", " three ", "four"])
    assert (left, held) == ("One two three four", [0, 3, 0, 4])
    _, held = flowed("x" * 2000)
    assert max(held) == LONGEST - 1
    _, held = flowed("東京都の天気")
    assert max(held) == 0


def test_a_long_secret_is_masked_to_its_end() -> None:
    """However far it goes on behind what is looked at."""
    for size in (100, 500, 700, 3000):
        token = TOKENS["jwt"] + mixed(size)
        left, _ = flowed(f"a {token}. {token}", name="#")
        assert left.replace(".", "") == "a # #"


def test_a_secret_deep_in_a_long_run() -> None:
    """Wherever in the run it begins."""
    for before in range(1, 1200, 37):
        text = "-" * before + TOKENS["github"] + "-" * 600
        assert masked(text) == "-" * before + "#" + "-" * 600
        assert flowed(text, name="#")[0] == masked(text)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"{PEM} end", "-----BEGIN RSA PRIVATE KEY-----\n#\n-----END RSA PRIVATE KEY----- end"),
        (PEM.replace("RSA ", "OPENSSH "), "-----BEGIN OPENSSH PRIVATE KEY-----\n#\n-----END OPENSSH PRIVATE KEY-----"),
        (f"-----BEGIN PRIVATE KEY-----\n{KEY}", "-----BEGIN PRIVATE KEY-----\n#"),
        (f"-----BEGIN PRIVATE KEY-----\n{KEY}\nand so on and on.", "-----BEGIN PRIVATE KEY-----\n# so on and on."),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 1\n\n" + KEY, "-----BEGIN PGP PRIVATE KEY BLOCK-----\n#"),
        (f"Private-Lines: 14\n{KEY}\nPrivate-MAC: 00", "Private-Lines: #\nPrivate-MAC: 00"),
        ("A -----BEGIN PRIVATE KEY----- line, then base64.", "A -----BEGIN PRIVATE KEY----- line, then base64."),
        ("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",) * 2,
    ],
)
def test_private_keys(text: str, left: str) -> None:
    """What is between header and footer is masked, also where it is cut off; a header that is only named is not one."""
    assert masked(text) == left
    assert flowed(text, name="#")[0] == left


def test_a_private_key_without_an_end_is_held_up_to_a_bound() -> None:
    """What is over it is masked as it comes."""
    text = "-----BEGIN PRIVATE KEY-----\n" + "\n".join([mixed(64)] * 600) + "\n-----END PRIVATE KEY----- on"
    chance = random.Random(3)
    left, held = flowed(cut(text, chance), name="#")
    assert left == "-----BEGIN PRIVATE KEY-----\n#-----END PRIVATE KEY----- on"
    assert max(held) < 17_000


def test_half_a_surrogate_pair_is_no_way_around() -> None:
    """It has no encoding, and is looked past."""
    assert masked(f"\ud83d {TOKENS['github']} \ud83d") == "\ud83d # \ud83d"


@pytest.mark.parametrize(
    "text",
    ["x" * 1_000_000, "sk-" * 100_000, "ghp_" * 75_000, "a:b@" * 75_000, "-----BEGIN " * 30_000, "eyJ." * 75_000],
)
def test_anything_takes_bounded_time(text: str) -> None:
    """Time is linear in the text, whatever it is."""
    begun = time.process_time()
    masked(text)
    assert time.process_time() - begun < 8


def test_rules_over_white_space_without_a_keyword_are_tried_everywhere() -> None:
    """What a user's rules do not say costs time, not secrets."""
    finder = Finder([Rule("code", r"the code is\s+([0-9]{4})", reach=512)])
    assert masked("Now the code is 1234.", finder) == "Now the code is #."
    assert flowed("Now the code is 1234 and 1234.", finder, "#")[0] == "Now the code is # and 1234."


def test_entropy() -> None:
    """Bits per character."""
    assert entropy("aaaa") == 0
    assert entropy("abcdabcd") == 2
    weak = Finder([Rule("r", r"k=(\S+)", entropy=3)])
    assert masked("k=aaaaaaaa k=a8Hf93kd", weak) == "k=aaaaaaaa k=#"
