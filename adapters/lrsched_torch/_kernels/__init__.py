"""Updates on a CUDA device as one kernel of Triton for each pass of a rule, over all tensors where they are.

`_early` says which slots an earlier pass writes, `_ops` what an operation is, `_source` writes kernels of passes, and
`_triton` launches them.
"""
