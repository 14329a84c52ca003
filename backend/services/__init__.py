"""Use cases, one module per aggregate."""
