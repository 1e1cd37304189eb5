"""The Valkey and Postgres that `up` brings along, on Unix sockets, as child processes that die with their parent."""
