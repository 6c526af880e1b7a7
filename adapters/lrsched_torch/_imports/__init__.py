"""Reads the schedules of PyTorch, transformers and ignite from their objects."""
