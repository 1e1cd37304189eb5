"""Which hosts a command would talk to, as far as its words say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from luthien_stream.actions.hosts import urls_in
from luthien_stream.actions.shell import UNKNOWN, Command
from luthien_stream.actions.shell.languages import INTERPRETERS, language

FETCHING = frozenset(
    (
        "curl",
        "wget",
        "http",
        "https",
        "httpie",
        "xh",
        "aria2c",
        "lynx",
        "links",
        "w3m",
        "fetch",
        "axel",
        "youtube-dl",
        "yt-dlp",
    )
) | {
    "invoke-webrequest",
    "invoke-restmethod",
    "iwr",
    "irm",
    "start-bitstransfer",
    "certutil",
    "bitsadmin",
    "ab",
    "wrk",
    "hey",
}
"""Programs whose operands are URLs."""
CONNECTING = frozenset(
    ("nc", "ncat", "netcat", "telnet", "ftp", "lftp", "tftp", "ping", "ping6", "traceroute", "whois", "nmap")
)
"""Programs whose first operand is a host."""
RESOLVING = frozenset(("dig", "nslookup", "host", "drill", "resolvectl"))
"""A name that is looked up leaves the machine, too."""
LOGGING_IN = frozenset(("ssh", "scp", "sftp", "rsync", "mosh", "ssh-copy-id", "autossh", "sshfs"))
"""Programs with `[user@]host[:path]`."""
SPEAKING = frozenset(
    (
        "git",
        "hg",
        "svn",
        "pip",
        "pip3",
        "npm",
        "yarn",
        "pnpm",
        "socat",
        "openssl",
        "grpcurl",
        "websocat",
        "mosquitto_pub",
        "redis-cli",
    )
) | {
    "psql",
    "mysql",
    "mongo",
    "mongosh",
    "aws",
    "docker",
    "kubectl",
    "helm",
    "go",
    "cargo",
    "gem",
    "apt-get",
    "apt",
    "brew",
    "rclone",
}
"""Programs that talk to what a URL among their words says."""
_VALUED = {
    "curl": "HdAbcoeuXTFmrKwxyYzCtEUDPQ",
    "wget": "OPUaeitTwQlRADIXoB",
    "ssh": "bcDEeFIiJLlmOopQRSWw",
    "scp": "cFiJloPSX",
    "nc": "wpsqeicxXTIOkmM",
    "ping": "cislWwtIMQST",
}
"""Program to the letters of options that have a value."""
_LISTS = frozenset(("-K", "--config", "--input-file"))
"""Options with which URLs come from elsewhere."""
_HTTPIE = frozenset(("http", "https", "httpie", "xh"))
"""`http [METHOD] URL [ITEM ...]`."""
_HOST = {
    **dict.fromkeys(("psql", "mysql", "mariadb", "redis-cli", "pg_dump"), ("-h", "--host")),
    **dict.fromkeys(("mongo", "mongosh"), ("--host",)),
}
"""Program to its options that name a host."""
_DEVICE = re.compile(r"/dev/(?:tcp|udp)/([^/\s]+)/(\w+)")
_PROXIES = re.compile(
    r"(?:-x|--proxy|--preproxy|--socks\w*|--connect-to|--resolve|--url|--doh-url|--referer-url)(?:=(.+))?$"
)
_FETCHES = re.compile(
    r"urlopen|urlretrieve|requests\b|httpx|aiohttp|fetch\s?\(|axios|\bgot\b|https?\.(?:get|post|request|client)|socket|Socket|LWP"
    r"|HTTP|http_|open-uri|URI\.open|curl|wget|ftplib|file_get_contents|(?:read|load|from|scan)_\w+\(|download|connect|\.get\("
)
_CODE = re.compile(
    r"(?:connect|create_connection|HTTPS?Connection|getaddrinfo|gethostbyname)\w*\s{0,9}\(+\s{0,9}[\"']([^\"']{1,255})[\"']"
)


def reached(commands: Iterable[Command]) -> Iterator[str]:
    """URLs or hosts that commands talk to; empty for one that is not told."""
    for command in commands:
        for text in [word.text for word in command.words] + [one.target.text for one in command.redirects]:
            yield from (f"tcp://{host}:{port}" for host, port in _DEVICE.findall(text))
        yield from _reached(command)


def reached_by_code(code: str) -> Iterator[str]:
    """URLs that stand in code that fetches something, and hosts that it connects to."""
    if _FETCHES.search(code):
        yield from urls_in(code)
    yield from _CODE.findall(code)


def _reached(command: Command) -> Iterator[str]:
    program = command.program.casefold().removesuffix(".exe")
    words = [word.text for word in command.arguments]
    operands = list(_operands(program, words))
    if program in _HTTPIE:
        operands = [word for word in operands if not word.isupper()][:1]
        yield from (f"localhost{word}" if word.startswith(":") else word for word in operands)
    elif program in FETCHING:
        yield from _fetched(program, words, operands, command.stdin.text or "")
    elif program in CONNECTING:
        listens = any(re.match(r"-\w*l", word) for word in words) and program in ("nc", "ncat", "netcat")
        yield from () if listens else operands[:1]
    elif program in RESOLVING:
        yield from (word.removeprefix("@") for word in operands if "." in word or word.startswith("@"))
    elif program in LOGGING_IN:
        yield from _logins(program, operands)
    elif program in SPEAKING:
        yield from (
            url for word in words for url in urls_in(word) if command.words[1:2] != () and "commit" not in words[:2]
        )
        yield from (behind for word, behind in pairwise(words) if word in _HOST.get(program, ()))
        if program == "git":
            yield from (f"ssh://{word.replace(':', '/', 1)}" for word in words if re.match(r"[\w.-]+@[\w.-]+:", word))
        if program == "openssl":
            yield from (word for before, word in pairwise(words) if before == "-connect")
        if program == "socat":
            yield from re.findall(r"(?i)(?:tcp|udp|openssl|ssl)\d?(?:-connect)?:([^,\s]+)", " ".join(words))
    elif language(program) in INTERPRETERS:
        for text in [*words, command.stdin.text or ""]:
            yield from reached_by_code(text)


def _fetched(program: str, words: Sequence[str], operands: Sequence[str], stdin: str) -> Iterator[str]:
    named = [given for given in _named(words) if given]
    if operands or named or not {"--version", "--help", "-V", "-h"} & set(words):
        yield from [*operands, *named] or [""]
    if UNKNOWN in operands:
        yield from urls_in(stdin)
    elif _LISTS & set(words) or (program == "wget" and "-i" in words):
        yield from [*urls_in(stdin)] or [""]


def _operands(program: str, words: Sequence[str]) -> Iterator[str]:
    valued = _VALUED.get(program, "")
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word.startswith("--"):
            skip = "=" not in word and program in ("curl", "wget") and word in _LONG
        elif word.startswith("-") and len(word) > 1:
            cluster = next((at for at, letter in enumerate(word) if at and letter in valued), 0)
            skip = bool(cluster) and cluster == len(word) - 1
        else:
            yield word


_LONG = frozenset(
    f"--{name}"
    for name in (
        *(
            "header",
            "data",
            "data-raw",
            "data-binary",
            "data-urlencode",
            "form",
            "output",
            "request",
            "user",
            "user-agent",
        ),
        *(
            "cookie",
            "cookie-jar",
            "max-time",
            "connect-timeout",
            "retry",
            "retry-delay",
            "write-out",
            "upload-file",
            "cacert",
        ),
        *(
            "cert",
            "key",
            "json",
            "referer",
            "output-document",
            "directory-prefix",
            "method",
            "body-data",
            "post-data",
            "timeout",
        ),
        *(
            "tries",
            "limit-rate",
            "proxy",
            "url",
            "resolve",
            "connect-to",
            "variable",
            "config",
            "dump-header",
            "output-dir",
        ),
    )
)


def _named(words: Sequence[str]) -> Iterator[str]:
    """Hosts given by options: proxies, `--url`, `--resolve name:port:address`."""
    for at, word in enumerate(words):
        if (found := _PROXIES.match(word)) is not None:
            value = found[1] or (words[at + 1] if at + 1 < len(words) else "")
            if "resolve" in word or "connect-to" in word:
                yield from (
                    part.strip("[]") for part in re.split(r":(?![^\[]*\])", value) if part and not part.isdigit()
                )
            else:
                yield value


def _logins(program: str, operands: Sequence[str]) -> Iterator[str]:
    if program in ("scp", "rsync", "sftp"):
        for operand in operands:
            if found := re.match(r"(?:[\w.-]+@)?(\[[^\]]+\]|[\w.-]{2,}):", operand):
                yield found[1]
            elif "://" in operand:
                yield operand
    else:
        yield from (operand.rpartition("@")[2] for operand in operands[:1])
