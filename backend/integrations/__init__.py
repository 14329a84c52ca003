"""Outside services and the clock."""
