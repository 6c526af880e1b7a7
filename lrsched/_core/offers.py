"""The one way up: what higher rooms offer to lower ones.

A room imports those below it only, so what a lower room wants of a higher one it looks up in a table here, and the
higher room fills that table when it is imported.
"""

from collections.abc import Callable
from typing import Any

# The classes that texts, configurations and operators may name: family -> name -> class.
CLASSES: dict[str, dict[str, type[Any]]] = {}
# The functions of the step that texts and configurations may name, as programs have registered them.
FUNCTIONS: dict[str, Callable[..., Any]] = {}
# What a notebook shows of a value: family -> a function that returns text and picture by MIME type.
PICTURES: dict[str, Callable[[Any], dict[str, Any]]] = {}
# Draws a schedule on the axes of Matplotlib.
PLOT: list[Callable[..., Any]] = []
# How fields of other libraries' models read a value of a class, and write it.
FIELDS: list[Callable[..., Any]] = []
# The function of another library that a name with dots in a text means, `torch.OneCycleLR`, or what is like it.
ELSEWHERE: list[Callable[[str], Callable[..., Any] | list[str]]] = []
# What texts of a family may call beside its classes: family -> name -> function.
CALLS: dict[str, dict[str, Callable[..., Any]]] = {}
