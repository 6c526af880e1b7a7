"""One update of a list of arrays, and of one buffer in rows. Imports `_blocks` and what lies below."""
