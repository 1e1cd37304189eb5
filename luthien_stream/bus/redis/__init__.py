"""The bus on a Redis or Valkey server (baseline: Redis 7.0, Valkey 8)."""

from luthien_stream.bus.redis.bus import RedisBus

__all__ = ["RedisBus"]
