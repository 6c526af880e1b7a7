"""Updates on a CPU as one library of C++ for each rule, which walks over all tensors where they are.

`cpp` writes the passes of a rule for `walk.h`, `build` compiles. `table` knows where the tensors are, `unmoved` asks
whether they are still there, and `cpp_loops` updates them.
"""
