"""How the body of a rule runs on NumPy block by block, in the processor's cache. Imports `_ops`."""
