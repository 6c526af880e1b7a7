"""What the modules of many libraries share: arguments, pieces of curves, readers. Imports `_curves` and `_recipes`."""
