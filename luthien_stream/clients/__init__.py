"""What to set for which client so that it talks to the gateway. Pure: `cli` prints and applies it, `edge` serves it."""
