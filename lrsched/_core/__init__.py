"""The ground: checked, frozen values, their JSON and their text, and the tables that higher rooms fill.

Imports nothing of ours.
"""
