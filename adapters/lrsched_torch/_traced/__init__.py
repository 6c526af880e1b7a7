"""The body of a rule as a graph, and as a program for loops and kernels. Imports `_shared`."""
