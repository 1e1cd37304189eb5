"""HTTP towards clients. An edge owns each call from its request to the last byte, and meets the rest on the bus."""
