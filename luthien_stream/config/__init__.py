"""The configuration: one file, `luthien.yaml`, all keys optional."""
