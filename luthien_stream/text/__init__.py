"""Text that streams by: where in it something stands, wherever it is cut, and what is put there instead. Pure."""
