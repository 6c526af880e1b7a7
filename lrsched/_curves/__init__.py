"""Schedules: the algebra, every curve and every node around curves. Imports `_core` and `_spaces`."""
