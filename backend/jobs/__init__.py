"""What runs in the background worker."""
