"""Sub-commands of `lrsched`, and what they share. May import everything but `lrsched.cli`."""
