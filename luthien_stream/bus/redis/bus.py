"""The port on a server: streams, partitions, bodies, heartbeats and the activity group, one command or script each."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from luthien_stream.bus import keys
from luthien_stream.bus.limits import CLOSED_KEPT_MS, DEAD_LETTERS_KEPT
from luthien_stream.bus.port import START, Acquired, Bus, Entry, Lag, Open, Settled, Settlement, Span
from luthien_stream.bus.redis import replies
from luthien_stream.bus.redis.lasting import Lasting
from luthien_stream.bus.redis.links import Reply, call_once, checked, find, is_existing_group, is_missing_group
from luthien_stream.bus.redis.reader import RedisReader
from luthien_stream.bus.redis.server import Server
from luthien_stream.bus.redis.settling import settle_command
from luthien_stream.errors import BodyMissing, BusUnavailable

CLAIM_PAGES = 20


class RedisBus(Lasting, Bus):
    """The bus at a redis-py URL (`redis://`, `rediss://`, `unix://`). The methods of the port are described there.

    After a restart of the server the first `append` to each stream is refused with `BusUnavailable`: its producer must
    look at `run_id` and write what the server may have forgotten before anything newer.
    """

    def __init__(self, url: str) -> None:
        self._server = Server(url)
        self._served: dict[str, str] = {}

    # the connection
    def reader(self) -> RedisReader:
        return RedisReader(self._server)

    async def close(self) -> None:
        await self._server.close()

    async def ping(self) -> None:
        await self._server.call(("PING",))

    async def run_id(self) -> str:
        (info,) = await self._server.try_call(("INFO", "server"))
        return find(info, b"run_id")

    # streams
    async def append(self, stream: str, raw: bytes) -> str:
        command = ("XADD", stream, "*", "b", raw)
        (id,) = await self._server.call(command, check=partial(self._refuse_another_server, stream))
        return replies.words(id)

    async def range(self, stream: str, after: str, upto: str = "+", *, count: int = 1000) -> list[Entry]:
        (found,) = await self._server.call(("XRANGE", stream, f"({after}", upto, "COUNT", count))
        return replies.entries(stream, found)

    async def first_id(self, stream: str) -> str:
        found = await self.range(stream, START, count=1)
        return found[0].id if found else START

    async def last_id(self, stream: str) -> str:
        return replies.words(await self._server.script("last_id", (stream,)))

    async def spans(self, streams: Sequence[str]) -> dict[str, Span]:
        infos = await self._server.try_call(*(("XINFO", "STREAM", stream) for stream in streams))
        return {stream: replies.span(info) for stream, info in zip(streams, infos, strict=True)}

    async def register_stream(self, stream: str, *, recorded: bool) -> None:
        group = keys.ACTIVITY_GROUP if recorded else "unrecorded"
        made = await self._though_full(stream, "XGROUP", "CREATE", stream, group, "0", "MKSTREAM")
        if not is_existing_group(made):
            checked(made)
        if not recorded:  # the stream shall exist, without a group
            await self._server.call(("XGROUP", "DESTROY", stream, group))
        checked(await self._though_full(keys.STREAMS, "SADD", keys.STREAMS, stream))

    async def forget_stream(self, stream: str) -> None:
        await self._server.call(("SREM", keys.STREAMS, stream))

    async def expire_stream(self, stream: str, *, ttl_ms: int) -> None:
        await self._server.call(("PEXPIRE", stream, ttl_ms))

    async def streams(self) -> list[str]:
        (names,) = await self._server.call(("SMEMBERS", keys.STREAMS))
        found = await self._server.call(*(("EXISTS", name) for name in names))
        gone = [name for name, exists in zip(names, found, strict=True) if not exists]
        if gone:
            await self._forget_gone(*gone)
        return sorted(name.decode() for name in names if name not in gone)

    async def trim_stream(self, stream: str, before: str, *, max_age_ms: int) -> int:
        return int(await self._server.script("trim_stream", (stream,), before, max_age_ms, keys.ACTIVITY_GROUP))

    # partitions
    async def acquire(self, partition: str, worker: str, *, lease_ms: int) -> Acquired | None:
        names = (*_lease_and_state(partition), *_calls(partition), keys.partition_stream(partition))
        random = secrets.token_hex(4)
        taken = await self._server.script("acquire", names, worker, random, lease_ms, keys.spill(partition, ""))
        return None if taken is None else replies.acquired(taken)

    async def renew(self, partition: str, owner: str, worker: str, *, lease_ms: int) -> bool:
        return bool(await self._server.script("renew", _lease_and_state(partition), owner, worker, lease_ms))

    async def release(self, partition: str, owner: str) -> None:
        await self._server.script("release", _lease_and_state(partition), owner)

    async def lease_holder(self, partition: str) -> str:
        (holder,) = await self._server.call(("GET", keys.lease(partition)))
        return replies.words(holder)

    async def settle(self, partition: str, settlement: Settlement) -> Settled:
        reply = await self._server.run(lambda scripts: settle_command(scripts, partition, settlement))
        return replies.settled(reply)

    async def state(self, partition: str) -> tuple[str, int]:
        ((owner, turn),) = await self._server.call(("HMGET", keys.state(partition), "owner", "turn"))
        return replies.words(owner), int(turn or 0)

    async def spill(
        self, partition: str, owner: str, call: str, packs: Sequence[tuple[str, bytes]], first: str, *, ttl_ms: int
    ) -> bool:
        names = (keys.state(partition), keys.open_calls(partition), keys.spill(partition, call))
        kept = [part for pack in packs for part in pack]
        return bool(await self._server.script("spill", names, owner, call, first, ttl_ms, *kept))

    async def trim(self, partition: str, owner: str, *, max_age_ms: int, min_age_ms: int = 0) -> int:
        names = (keys.state(partition), keys.open_calls(partition), keys.partition_stream(partition))
        return int(await self._server.script("trim", names, owner, max_age_ms, keys.ACTIVITY_GROUP, min_age_ms))

    async def suspect(self, partition: str, owner: str, what: str) -> None:
        await self._server.script("suspect", (keys.state(partition),), owner, what)

    async def open_calls(self, partition: str) -> dict[str, Open]:
        (flat,) = await self._server.call(("HGETALL", keys.open_calls(partition)))
        return replies.open_calls(flat)

    async def drop_partition(self, partition: str) -> bool:
        stream = keys.partition_stream(partition)
        names = (*_lease_and_state(partition), *_calls(partition), stream)
        dropped = bool(await self._server.script("drop_partition", names, keys.ACTIVITY_GROUP, CLOSED_KEPT_MS))
        if dropped:
            await self._forget_gone(stream)
        return dropped

    def last_words(self, partition: str, owner: str, suspect: str) -> None:
        source = self._server.scripts.source("last_words")
        call_once(self._server.url, "EVAL", source, 2, *_lease_and_state(partition), owner, suspect)

    # bodies, values, processes, dead letters
    async def put_body(self, ref: str, body: bytes, *, ttl_ms: int) -> None:
        key = keys.body(ref)
        await self._server.call(("SET", key, body, "PX", ttl_ms, "NX"), ("PEXPIRE", key, ttl_ms, "GT"))

    async def get_body(self, ref: str) -> bytes:
        (body,) = await self._server.call(("GET", keys.body(ref)))
        if body is None:
            raise BodyMissing(ref=ref)
        return bytes(body)

    async def touch_bodies(self, refs: Sequence[str], *, ttl_ms: int) -> None:
        await self._server.call(*(("PEXPIRE", keys.body(ref), ttl_ms, "GT") for ref in refs))

    async def put_values(self, values: Mapping[str, bytes], *, ttl_ms: int) -> None:
        await self._server.call(*(("SET", keys.value(name), value, "PX", ttl_ms) for name, value in values.items()))

    async def claim_value(self, name: str, value: bytes, *, ttl_ms: int) -> bytes:
        key = keys.value(name)
        _, kept = await self._server.call(("SET", key, value, "PX", ttl_ms, "NX"), ("GET", key))
        return value if kept is None else bytes(kept)

    async def get_value(self, name: str) -> bytes | None:
        (value,) = await self._server.call(("GET", keys.value(name)))
        return None if value is None else bytes(value)

    async def drop_value(self, name: str) -> None:
        await self._server.call(("DEL", keys.value(name)))

    async def beat(self, role: str, name: str, facts: Mapping[str, str], *, ttl_ms: int) -> None:
        key, value = keys.heartbeat(role, name), msgspec.msgpack.encode(dict(facts))
        checked(await self._though_full(key, "SET", key, value, "PX", ttl_ms))
        checked(await self._though_full(keys.registry(role), "SADD", keys.registry(role), name))

    async def unbeat(self, role: str, name: str) -> None:
        await self._server.call(("DEL", keys.heartbeat(role, name)), ("SREM", keys.registry(role), name))

    async def alive(self, role: str) -> dict[str, dict[str, str]]:
        (members,) = await self._server.call(("SMEMBERS", keys.registry(role)))
        names = sorted(member.decode() for member in members)
        values = await self._server.call(*(("GET", keys.heartbeat(role, name)) for name in names))
        gone = [name for name, value in zip(names, values, strict=True) if value is None]
        if gone:
            await self._server.call(("SREM", keys.registry(role), *gone))
        decode = msgspec.msgpack.Decoder(dict[str, str]).decode
        return {name: decode(value) for name, value in zip(names, values, strict=True) if value is not None}

    async def dead_letter(self, record: Mapping[str, bytes]) -> str:
        fields = [part for field in record.items() for part in field]
        command = ("XADD", keys.DEAD_LETTERS, "MAXLEN", "~", DEAD_LETTERS_KEPT, "*", *fields)
        (id,) = await self._server.call(command)
        return replies.words(id)

    async def dead_letters(self, *, after: str = START, count: int = 100) -> list[tuple[str, dict[str, bytes]]]:
        (found,) = await self._server.call(("XRANGE", keys.DEAD_LETTERS, f"({after}", "+", "COUNT", count))
        return [(id.decode(), {name.decode(): value for name, value in replies.pairs(flat)}) for id, flat in found]

    async def drop_dead_letter(self, id: str) -> None:
        await self._server.call(("XDEL", keys.DEAD_LETTERS, id))

    async def memory(self) -> tuple[int, int]:
        (info,) = await self._server.try_call(("INFO", "memory"))
        return int(find(info, b"used_memory") or 0), int(find(info, b"maxmemory") or 0)

    # the activity group
    async def acknowledge(self, stream: str, ids: Sequence[str]) -> None:
        if ids:
            await self._server.call(("XACK", stream, keys.ACTIVITY_GROUP, *ids))

    async def claim(self, stream: str, consumer: str, *, idle_ms: int, count: int) -> list[Entry]:
        claimed: list[Entry] = []
        cursor = START
        for _ in range(CLAIM_PAGES):
            command = ("XAUTOCLAIM", stream, keys.ACTIVITY_GROUP, consumer, idle_ms, cursor, "COUNT", count)
            (reply,) = await self._server.try_call(command)
            if is_missing_group(reply):
                break
            cursor = replies.words(checked(reply)[0])
            claimed += replies.entries(stream, reply[1])
            if cursor == START or len(claimed) >= count:
                break
        return claimed

    async def lag(self, stream: str) -> Lag:
        behind, pending, oldest_ms = await self._server.script("lag", (stream,), keys.ACTIVITY_GROUP)
        return Lag(stream, None if behind < 0 else behind, pending, oldest_ms)

    async def _though_full(self, key: str, *command: str | bytes | int) -> Reply:
        """Run one small command that a full server would refuse; its own refusal is returned."""
        return await self._server.try_run(lambda scripts: scripts.command("though_full", (key,), *command))

    async def _forget_gone(self, *streams: str | bytes) -> None:
        """Forget streams that are gone; one that was made again meanwhile stays known."""
        await self._server.call(("SREM", keys.STREAMS, *streams))
        found = await self._server.call(*(("EXISTS", stream) for stream in streams))
        back = [stream for stream, exists in zip(streams, found, strict=True) if exists]
        if back:
            await self._server.call(("SADD", keys.STREAMS, *back))

    def _refuse_another_server(self, stream: str, run_id: str) -> None:
        if self._served.setdefault(stream, run_id) != run_id:
            self._served[stream] = run_id
            raise BusUnavailable(
                "The log (Redis) was restarted: nothing was written. Write again what it may have forgotten"
            )


def _lease_and_state(partition: str) -> tuple[str, str]:
    return keys.lease(partition), keys.state(partition)


def _calls(partition: str) -> tuple[str, str]:
    return keys.open_calls(partition), keys.closed_calls(partition)
