"""Schedules of the literature under their own names, each an expression of `_curves`. Imports what lies below."""
