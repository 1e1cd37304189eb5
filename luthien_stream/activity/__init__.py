"""The record: what the log says, kept in Postgres, put together again, and watched live."""
