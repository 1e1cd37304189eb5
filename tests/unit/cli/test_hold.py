"""What `up` claims: its data folder and its ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from luthien_stream.cli.common import is_running
from luthien_stream.cli.hold import claim, hold
from luthien_stream.config.instance import FILE, Instance, write_instance
from luthien_stream.errors import ConfigError

HOLDER = """
import sys, time
from pathlib import Path
from luthien_stream.cli.hold import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_up_to_a_folder(tmp_path: Path) -> None:
    """A second `up` is refused in one line, and allowed as soon as the first has been killed."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert is_running(tmp_path)
        with pytest.raises(ConfigError, match=r"already runs in .*: stop it, or name another --data"), hold(tmp_path):
            pass
        other.send_signal(signal.SIGKILL)
    assert not is_running(tmp_path)
    with hold(tmp_path):
        assert is_running(tmp_path)


def test_the_end_takes_back_where_the_instance_is(tmp_path: Path) -> None:
    """No command finds an instance that has ended; its file is for its owner only."""
    with hold(tmp_path):
        write_instance(tmp_path, Instance(os.getpid(), "127.0.0.1:1", "127.0.0.1:2", "memory", "none"))
        assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / FILE).exists()


def test_a_folder_that_cannot_be_used_gets_one_line(tmp_path: Path) -> None:
    """A file in the way, for instance."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="name a folder of yours with --data"), hold(tmp_path / "file"):
        pass


def test_a_port_in_use_gets_one_line() -> None:
    """The address and the flag to change it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"{address} is in use: .* with --listen"):
            claim(address, "--listen")


def test_an_address_that_is_none_of_this_machine_gets_one_line() -> None:
    """The advice is another one: nothing listens there that could be stopped."""
    with pytest.raises(ConfigError, match=r"300\.1\.1\.1:80 is no address of this machine .* with --admin"):
        claim("300.1.1.1:80", "--admin")


def test_port_zero_means_a_free_one() -> None:
    """All edges share the port that was found."""
    host, port = claim("127.0.0.1:0", "--listen").split(":")
    assert host == "127.0.0.1"
    assert int(port) > 0
