"""The optimizer, which chooses what updates its parameters. Imports everything below it."""
