"""Updates of small tensors joined in buckets, by graphs or PyTorch's own kernels. Imports `_traced` and `_shared`."""
