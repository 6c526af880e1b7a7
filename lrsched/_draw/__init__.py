"""Samples, milestones and pictures of schedules. Imports `_curves` and what lies below."""
