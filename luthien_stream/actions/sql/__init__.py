"""What SQL would do."""
