"""What a tool call would do if it ran: pure readings of commands, statements and paths. Nothing here does anything."""
