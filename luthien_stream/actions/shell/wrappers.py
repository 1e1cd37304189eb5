"""Programs that run another command: which of their words it is. All tables are data.

Options are given as the programs have them; `values` are those that take the next word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from luthien_stream.actions.shell.model import UNKNOWN, Word


class Prefix(Struct, frozen=True):
    """`sudo [options] COMMAND`: `skip` operands stand before the command, `assigns` if `NAME=value` may."""

    values: str = ""
    skip: int = 0
    assigns: bool = False


PREFIXES: dict[str, Prefix] = {
    "sudo": Prefix("-u -g -p -C -D -h -r -t -T -U -R --user --group --prompt --host --chdir --chroot", assigns=True),
    "doas": Prefix("-u -C", assigns=True),
    "pkexec": Prefix("--user"),
    "run0": Prefix("-u --user -D --chdir"),
    "env": Prefix("-u --unset -C --chdir -P", assigns=True),
    "cross-env": Prefix(assigns=True),
    "nohup": Prefix(),
    "time": Prefix("-f -o --format --output"),
    "timeout": Prefix("-s -k --signal --kill-after", skip=1),
    "gtimeout": Prefix("-s -k --signal --kill-after", skip=1),
    "nice": Prefix("-n --adjustment"),
    "ionice": Prefix("-c -n -p --class --classdata"),
    "chrt": Prefix("-T -P -D", skip=1),
    "taskset": Prefix(skip=1),
    "stdbuf": Prefix("-i -o -e --input --output --error"),
    "setsid": Prefix(),
    "setarch": Prefix(skip=1),
    "command": Prefix(),
    "builtin": Prefix(),
    "exec": Prefix("-a"),
    "coproc": Prefix(),
    "busybox": Prefix(),
    "toybox": Prefix(),
    "chroot": Prefix("--userspec --groups", skip=1),
    "unshare": Prefix("-S -G -R -w --setuid --setgid --root --wd"),
    "nsenter": Prefix("-t -S -G --target --setuid --setgid"),
    "flock": Prefix("-w -E --timeout --conflict-exit-code", skip=1),
    "strace": Prefix("-e -o -p -s -u -P -E -I -a -b -O -S -X"),
    "ltrace": Prefix("-e -o -p -s -u -n -l"),
    "valgrind": Prefix(),
    "systemd-run": Prefix("-p -u -H -M -E --unit --property --uid --gid --setenv --description --slice"),
    "systemd-inhibit": Prefix("--what --who --why --mode"),
    "runuser": Prefix("-u -g -G --user --group"),
    "gosu": Prefix(skip=1),
    "su-exec": Prefix(skip=1),
    "setpriv": Prefix("--reuid --regid --groups"),
    "fakeroot": Prefix("-l -s -i -b"),
    "proot": Prefix("-r -b -w -S -R"),
    "torsocks": Prefix(),
    "proxychains": Prefix("-f"),
    "proxychains4": Prefix("-f"),
    "xvfb-run": Prefix("-n -s -e -f --server-num --server-args"),
    "dbus-run-session": Prefix(),
    "caffeinate": Prefix("-t -w"),
    "unbuffer": Prefix(),
    "rlwrap": Prefix("-f -H -a"),
    "sshpass": Prefix("-p -f -d"),
    "entr": Prefix(),
    "pipx": Prefix("--spec --python"),
    "catchsegv": Prefix(),
    "cpulimit": Prefix("-l -p -e"),
    "numactl": Prefix("-N -m -C -i"),
    "prlimit": Prefix("-p --pid"),
    "firejail": Prefix(),
    "bwrap": Prefix("--bind --ro-bind --dev-bind --chdir --setenv --tmpfs"),
    "dotenv": Prefix("-f -e"),
    "wsl": Prefix("-d -u --distribution --user"),
    "start-stop-daemon": Prefix("-x -p -u --exec --pidfile --user"),
    "rtk": Prefix(),
    "then": Prefix(),
    "do": Prefix(),
    "else": Prefix(),
    "{": Prefix(),
    "!": Prefix(),
}
"""The last ones are reserved words that stand before a command where the grammar gave up."""

RUNNERS: dict[str, tuple[str, ...]] = {
    "uv": ("run", "tool run"),
    "uvx": ("",),
    "poetry": ("run",),
    "pipenv": ("run",),
    "pdm": ("run",),
    "hatch": ("run", "env run"),
    "rye": ("run",),
    "conda": ("run",),
    "mamba": ("run",),
    "bundle": ("exec",),
    "npx": ("",),
    "bunx": ("",),
    "npm": ("exec", "x"),
    "pnpm": ("exec", "dlx"),
    "yarn": ("exec", "dlx"),
    "mise": ("exec", "x"),
    "direnv": ("exec",),
    "asdf": ("exec",),
    "rbenv": ("exec",),
    "pyenv": ("exec",),
    "doppler": ("run",),
    "op": ("run",),
    "aws-vault": ("exec",),
    "chamber": ("exec",),
    "heroku": ("run",),
    "lxc": ("exec",),
    "multipass": ("exec",),
    "adb": ("shell",),
    "git": ("bisect run",),
    "docker": ("exec", "run", "container exec", "container run", "compose exec", "compose run"),
    "podman": ("exec", "run", "container exec", "container run", "compose exec", "compose run"),
    "nerdctl": ("exec", "run", "compose exec", "compose run"),
    "docker-compose": ("exec", "run"),
    "kubectl": ("exec", "run", "debug"),
    "oc": ("exec", "run", "debug", "rsh"),
    "k3s": ("kubectl",),
}
"""`docker exec [options] NAME COMMAND`: the command stands behind `--`, else behind the options and the names below."""
NAMES_FIRST = {
    "docker",
    "podman",
    "nerdctl",
    "docker-compose",
    "kubectl",
    "oc",
    "lxc",
    "multipass",
    "direnv",
    "aws-vault",
    "chamber",
}
"""Runners that take a name (container, pod, profile) before the command."""
SWITCHES = frozenset(
    [
        "-i",
        "-t",
        "-d",
        "-it",
        "-ti",
        "-dit",
        "-itd",
        "-T",
        "-P",
        "-q",
        "-v",
        "--rm",
        "--privileged",
        "--init",
        "--tty",
        "--interactive",
        "--detach",
        "--read-only",
        "--quiet",
        "--stdin",
        "--no-capture-output",
        "--no-deps",
        "--no-TTY",
        "--isolated",
        "--frozen",
        "--locked",
        "--no-sync",
        "--yes",
        "-y",
        "--no-healthcheck",
        "--all-extras",
    ]
)
"""Options of runners that take no value; of all others the next word is skipped unless `=` is in them."""

TEXTS: dict[str, str] = {
    "su": "-c --command --session-command",
    "runuser": "-c --command",
    "script": "-c --command",
    "flock": "-c --command",
    "sg": "-c",
    "nix-shell": "--run --command",
    "nix": "-c --command",
    "vagrant": "-c --command",
    "npx": "-c --call",
    "npm": "-c --call",
    "split": "--filter",
    "sort": "--compress-program",
    "tar": "--to-command --use-compress-program -I --checkpoint-action --rsh-command",
    "bsdtar": "--use-compress-program",
    "rsync": "-e --rsh --rsync-path",
    "scp": "-S",
    "nodemon": "-x --exec",
    "watchexec": "-c",
    "cargo": "-s --shell -x",
    "expect": "-c",
    "git": "-x --exec --extcmd --upload-pack --receive-pack",
    "zip": "-TT --unzip-command",
    "gcloud": "--command",
    "fly": "-C --command",
    "flyctl": "-C --command",
    "man": "-P --pager",
    "xterm": "-e",
    "capsh": "-c",
    "dash": "-c",
    "lxc-attach": "--",
    "pssh": "-i",
    "ansible": "-a --args",
    "mosh": "--",
    "sqlplus": "-c",
    "crontab": "",
}
"""Options whose value is a shell text."""
JOINED: dict[str, Prefix] = {
    "eval": Prefix(),
    "watch": Prefix("-n --interval"),
    "ssh": Prefix("-b -c -D -E -e -F -I -i -J -L -l -m -O -o -p -Q -R -S -W -w", skip=1),
    "rsh": Prefix("-l", skip=1),
    "remsh": Prefix("-l", skip=1),
    "mosh": Prefix("-p --ssh", skip=1),
    "parallel": Prefix(
        "-j --jobs -a --arg-file -n -N -L -S --sshlogin --results --joblog --timeout --delay --colsep -d -I"
    ),
    "hyperfine": Prefix("-w -r -m -M -p -c -n -L --warmup --runs --prepare --cleanup --export-json --export-markdown"),
    "concurrently": Prefix("-n -c --names"),
}
"""Programs that join their operands to one shell text."""


def behind(words: Sequence[Word], prefix: Prefix) -> list[Word]:
    """The words behind a wrapper's own options, assignments and operands."""
    values = set(prefix.values.split())
    skip, at = prefix.skip, 0
    while at < len(words):
        text = words[at].text
        if text == "--" and not skip:
            return list(words[at + 1 :])
        if text.startswith("-") and len(text) > 1:
            at += 1 + takes_next(text, values)
        elif prefix.assigns and "=" in text.lstrip("=") and text.partition("=")[0].replace("_", "a").isalnum():
            at += 1
        elif skip:
            skip, at = skip - 1, at + 1
        else:
            return list(words[at:])
    return []


def takes_next(option: str, values: set[str]) -> bool:
    """True if the option's value is the next word."""
    if option in values:
        return True
    return re.match(r"-[^-].", option) is not None and f"-{option[-1]}" in values and f"-{option[1]}" not in values


def option_values(words: Sequence[Word], options: set[str]) -> Iterator[Word]:
    """The values of those options, `--name value`, `--name=value` and short ones at the end of a cluster."""
    for at, word in enumerate(words):
        name, equals, value = word.text.partition("=")
        if equals and name in options:
            yield Word(value.removeprefix("exec="))
        elif at + 1 < len(words) and takes_next(word.text, options):
            yield words[at + 1]


def run_by(program: str, words: Sequence[Word]) -> list[Word]:
    """The command that a runner runs, in its own words; empty for none."""
    operands = [(at, word.text) for at, word in enumerate(words) if not word.text.startswith("-")]
    for subcommand in RUNNERS[program]:
        parts = subcommand.split()
        start = _start(operands, parts)
        if start is None:
            continue
        rest = list(words[start:])
        dashes = next((at for at, word in enumerate(rest) if word.text == "--"), None)
        if dashes is not None:
            return rest[dashes + 1 :]
        rest = _past_options(rest)
        return _past_options(rest[1:]) if program in NAMES_FIRST else rest
    return []


def _start(operands: Sequence[tuple[int, str]], parts: Sequence[str]) -> int | None:
    """Where the words behind a subcommand begin. Values of options before it may look like operands."""
    if not parts:
        return 0
    for at in range(min(len(operands), 4)):
        if [text for _, text in operands[at : at + len(parts)]] == list(parts):
            return operands[at + len(parts) - 1][0] + 1
    return None


def _past_options(words: Sequence[Word]) -> list[Word]:
    at = 0
    while at < len(words) and words[at].text.startswith("-"):
        option = words[at].text
        at += 1 if option in SWITCHES or "=" in option else 2
    return list(words[at:])


def xargs(words: Sequence[Word]) -> list[Word]:
    """The command that `xargs` runs, with one word that stands for all of its input."""
    rest = behind(
        words, Prefix("-I -n -P -L -d -a -E -s -i --max-args --max-procs --delimiter --arg-file --replace --max-lines")
    )
    marks = [word.text for word in option_values(words, {"-I", "--replace"})]
    marks += [word.text[2:] for word in words if word.text.startswith("-I") and len(word.text) > 2]
    return filled(rest, marks or (["{}"] if any(word.text in {"-i", "--replace"} for word in words) else []))


def filled(words: Sequence[Word], marks: Sequence[str], values: Sequence[Word] = (Word(UNKNOWN, True),)) -> list[Word]:
    """Put `values` where a mark stands, or at the end where none does."""
    out: list[Word] = []
    for word in words:
        mark = next((mark for mark in marks if mark and mark in word.text), None)
        out += [word] if mark is None else [Word(word.text.replace(mark, one.text), True) for one in values]
    return out if marks else [*out, *values]


def is_name_test(word: str) -> bool:
    """True for the tests of `find` that say what its results are called."""
    return word in {"-name", "-iname", "-path", "-ipath", "-wholename"}


def found_by(words: Sequence[Word]) -> list[Word]:
    """What `find` finds, one word for each root and name: `./…/*.pyc`."""
    texts = [word.text for word in words]
    first = next(
        (at for at, text in enumerate(texts) if text.startswith(("-", "(", "!")) and text not in {"-H", "-L", "-P"}),
        len(texts),
    )
    roots = [text for text in texts[:first] if not text.startswith("-")] or ["."]
    names = [
        texts[at + 1]
        for at, text in enumerate(texts[:-1])
        if is_name_test(text) and (at == 0 or texts[at - 1] not in {"!", "-not"})
    ]
    return [
        Word(f"{root.rstrip('/')}/{UNKNOWN}/{name.lstrip('*/') if '/' in name else name}", True)
        for root in roots
        for name in names or [UNKNOWN]
    ]


def executed_by_find(words: Sequence[Word]) -> Iterator[list[Word]]:
    """The commands of `-exec` and its like, and `rm` for `-delete`."""
    found = found_by(words)
    texts = [word.text for word in words]
    for at, text in enumerate(texts):
        if text in {"-exec", "-execdir", "-ok", "-okdir"}:
            end = next((i for i in range(at + 1, len(texts)) if texts[i] in {";", "+"}), len(texts))
            yield filled(words[at + 1 : end], ["{}"], found)
        elif text == "-delete":
            yield [Word("rm"), Word("-r"), *found]
        elif text in {"-x", "-X", "--exec", "--exec-batch"}:
            rest = words[at + 1 :]
            yield filled(rest, ["{}"] if any("{}" in word.text for word in rest) else [])
