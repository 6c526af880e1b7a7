"""What a curve may ask of numbers and of each array library, and how it is compiled. Imports `_core`."""
