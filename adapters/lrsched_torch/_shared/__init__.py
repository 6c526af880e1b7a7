"""What every way to update shares: facts of a rule, jobs, one update of whole tensors.

Imports nothing of ours beside it.
"""
