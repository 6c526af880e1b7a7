"""How each array library spells operations, what a curve may ask of it, how it is compiled. Imports `_core`."""
