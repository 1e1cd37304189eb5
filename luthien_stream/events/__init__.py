"""The vocabulary: what is written to the log (`log`, `pack`), and what policies see of an answer (`answer`)."""
