"""Slots, containers, and the context a rule runs in. Imports `_core` and `_spaces`."""
