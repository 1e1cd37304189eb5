"""The rules of the log, without IO: no socket, no clock, no chance. Worker, edge, activity and replay share them."""
