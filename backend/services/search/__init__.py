"""Search over the catalogue, inside the process: see `index.SearchIndex`."""

from backend.services.search.entries import SearchEntry, SearchFilters, entry_of
from backend.services.search.index import SearchHit, SearchIndex, SearchPage

__all__ = ["SearchEntry", "SearchFilters", "SearchHit", "SearchIndex", "SearchPage", "entry_of"]
