"""Updates on a CUDA device as one kernel of Triton for each pass of a rule, over all tensors where they are.

`early` says which slots an earlier pass writes, `ops` what an operation is, `source` writes kernels of passes, and
`triton` launches them.
"""
