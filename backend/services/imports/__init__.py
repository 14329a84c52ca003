"""Catalogues of other systems: reading their files, mapping their fields, publishing what changed."""
