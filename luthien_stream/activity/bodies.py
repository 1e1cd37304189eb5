"""Request bodies in the store: taken apart when they are written, put together when they are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from luthien_stream.activity.connection import Connection
from luthien_stream.activity.sql import QUERIES
from luthien_stream.record import pieces


async def write_bodies(connection: Connection, bodies: Mapping[str, bytes]) -> None:
    """Write bodies by their SHA-256 (hex), of each what is not stored yet. Part of a transaction."""
    if not bodies:
        return
    await connection.execute(QUERIES["guard_pieces"])
    known = {row["ref"] for row in await connection.fetch(QUERIES["known_bodies"], list(bodies))}
    for ref, body in bodies.items():
        if ref not in known:
            await _write(connection, ref, body)


async def _write(connection: Connection, ref: str, body: bytes) -> None:
    made = pieces.split(body)
    refs = [link[0] for link in made.links]
    known = {bytes(row["ref"]) for row in await connection.fetch(QUERIES["known_links"], refs)} if refs else set()
    new = [link for link in made.links if link[0] not in known]
    wanted = {link[2] for link in new} | set(made.named)
    data = {one: made.pieces[one] for one in sorted(wanted)}
    if data:
        await connection.execute(QUERIES["insert_pieces"], list(data), list(data.values()))
    if new:
        columns: Iterable[tuple[object, ...]] = zip(*sorted(new), strict=True)
        await connection.execute(QUERIES["insert_links"], *map(list, columns))
    await connection.execute(QUERIES["insert_body"], ref, len(body), made.packed, made.named, made.ends)


async def read_bodies(connection: Connection, refs: Iterable[str]) -> dict[str, bytes]:
    """Return bodies by their SHA-256 (hex); those that are not stored are missing."""
    found = {row["ref"]: bytes(row["parts"]) for row in await connection.fetch(QUERIES["body_parts"], list(refs))}
    named, ends = set[bytes](), set[bytes]()
    for parts in found.values():
        for ref, is_end in pieces.names(parts):
            (ends if is_end else named).add(ref)
    rows = await connection.fetch(QUERIES["links"], list(ends)) if ends else []
    links: dict[bytes, tuple[bytes | None, bytes]] = {bytes(r["ref"]): (r["parent"], bytes(r["piece"])) for r in rows}
    wanted = named | {piece for _, piece in links.values()}
    got = await connection.fetch(QUERIES["pieces"], list(wanted)) if wanted else []
    data = {bytes(row["ref"]): bytes(row["data"]) for row in got}

    def elements(last: bytes) -> list[bytes]:
        return [data[piece] for piece in pieces.walk(last, links)][::-1]

    return {ref: pieces.join(parts, data.__getitem__, elements) for ref, parts in found.items()}
