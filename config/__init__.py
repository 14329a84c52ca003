"""Settings and the sample district."""
