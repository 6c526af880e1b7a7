"""Updates on a CPU as one library of C++ for each rule, which walks over all tensors where they are.

`_cpp` writes the passes of a rule for `walk.h`, `_build` compiles. `_batch` knows where the tensors are, `_look` asks
whether they are still there, and `_looped` updates them.
"""
