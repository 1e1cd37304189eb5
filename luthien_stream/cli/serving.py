"""`replay SOURCE --serve`: the recordings as a provider, until it is stopped."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable

from luthien_stream.cli.plain import printable
from luthien_stream.cli.role import stop_on_signals
from luthien_stream.config.model import split_address
from luthien_stream.errors import ConfigError
from luthien_stream.record.lanes import Record
from luthien_stream.replay.serve.book import Book, By
from luthien_stream.replay.serve.server import RecordingServer


def serve(records: Iterable[Record], address: str, by: By, factor: float, *, reuse: bool) -> int:
    """Serve until SIGINT or SIGTERM. Raises `ConfigError` where the address cannot be had."""
    book = Book(records, by, reuse=reuse)
    asyncio.run(_serve(book, address, factor))
    left = book.unserved
    sys.stderr.write(f"{len(book.answers) - len(left)} of {len(book.answers)} recordings were asked for\n")
    sys.stderr.writelines(f"never asked for: {call}\n" for call in left[:20])
    return 0


async def _serve(book: Book, address: str, factor: float) -> None:
    host, port = split_address(address)
    server = RecordingServer(book, factor, lambda line: print(printable(line), file=sys.stderr))  # noqa: T201
    try:
        port = await server.listen(host, port)
    except OSError as error:
        raise ConfigError(f"{address} cannot be had: {error.strerror or error}") from error
    sys.stdout.write(
        f"{len(book.answers)} recordings are served at http://{host}:{port}; no key is needed, any will do\n\n"
        f"  Claude Code     ANTHROPIC_BASE_URL=http://{host}:{port} ANTHROPIC_API_KEY=any claude\n"
        f'  OpenAI SDK      OpenAI(base_url="http://{host}:{port}/v1", api_key="any")\n'
    )
    sys.stdout.flush()
    stop = asyncio.Event()
    stop_on_signals(stop)
    await stop.wait()
    await server.close()
