"""Updates on a CPU as one library of C++ for each rule, which walks over all tensors where they are.

`_program` reads a rule into passes, `_cpp` writes them for `walk.h`, `_build` compiles. `_batch` knows where they are,
`_look` asks whether they are still there, and `_looped` updates them.
"""
