"""Whole configurations of trainers as schedules, rules and budgets: `read_config`."""
