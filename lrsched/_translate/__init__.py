"""Schedules as native code of other libraries and as settings of trainers. Imports `compat` and what lies below."""
