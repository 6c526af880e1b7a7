"""Schedules and closed-loop rules as schedulers of PyTorch. Imports nothing of ours beside it."""
