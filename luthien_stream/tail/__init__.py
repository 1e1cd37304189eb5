"""Live reading of the log, by position, without taking anything away."""
