"""Updates on a CUDA device as one kernel of Triton for each pass of a rule, over all tensors where they are.

`_source` writes a pass of what `_ops` has for each operation, `_early` says what leaves the loop, `_triton` launches.
"""
