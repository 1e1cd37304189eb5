"""What a tool call would do: which commands, statements, files and addresses are in it. Pure, for policies."""
