"""A provider made of recordings: agents and SDKs can be driven offline, and get the very answers that were recorded."""
