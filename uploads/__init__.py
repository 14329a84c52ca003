"""Photographed materials: intake, what a file truly is, making it a safe upright page."""
