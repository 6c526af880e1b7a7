"""What speed costs: our calls beside what a person would write without us, or beside the framework's own object.

`python -m benchmarks` runs every measurement in one process and prints one table. A module here holds one measurement:
a function without arguments that returns rows. `__main__.MEASUREMENTS` lists them.
"""
