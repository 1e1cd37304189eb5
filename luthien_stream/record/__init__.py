"""A recorded call, whatever it was read from: its lanes, what they say, and the forms that it is kept in. No IO."""
