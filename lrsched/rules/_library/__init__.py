"""Every update rule, part and wrapper, and the classes that they are made from.

Imports `_update` and what lies below.
"""
