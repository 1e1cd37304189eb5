"""Programs that run another command, as data: options, names and assignments that stand before it.

Options are given as the programs have them; `values` are those that take the next word.
"""

from __future__ import annotations

from msgspec import Struct


def names(text: str) -> frozenset[str]:
    """The names in a text, separated by white space."""
    return frozenset(text.split())


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
    "shx": Prefix(),
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
    "watchexec": ("",),
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
    "gcloud": ("compute ssh",),
    "sops": ("exec-env", "exec-file"),
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
NAMES_FIRST = names(
    "docker podman nerdctl docker-compose kubectl oc lxc multipass direnv aws-vault chamber gcloud sops"
)
"""Runners that take a name (container, pod, profile) before the command."""
SWITCHES = names(
    """-i -t -d -it -ti -dit -itd -T -P -q -v -y --rm --privileged --init --tty --interactive --detach --read-only
    --quiet --stdin --no-capture-output --no-deps --no-TTY --isolated --frozen --locked --no-sync --yes --no-healthcheck
    --all-extras"""
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
    "cmd": Prefix(skip=1),
    "cmd.exe": Prefix(skip=1),
    "sg": Prefix(skip=1),
    "pssh": Prefix("-h -H -l -p -t -o -e -x -O --hosts --host --user --par"),
    "parallel-ssh": Prefix("-h -H -l -p -t -o -e -x -O --hosts --host --user --par"),
    "pdsh": Prefix("-w -x -l -f -t -u -g -R"),
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

RUN_VARIABLES = names(
    """PAGER MANPAGER GIT_PAGER EDITOR VISUAL GIT_EDITOR GIT_SEQUENCE_EDITOR GIT_SSH_COMMAND GIT_EXTERNAL_DIFF
    GIT_ASKPASS SSH_ASKPASS PROMPT_COMMAND LESSOPEN LESSCLOSE BROWSER"""
)
"""Variables whose value another program runs as a shell text."""
