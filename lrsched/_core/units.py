"""Lengths as people say them, "5%", "3ep", "2e9tok", "10k", read exactly."""

import re
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

# What the error about another unit lists.
KNOWN = "'%' or 'dur' (of the run), 'ep' (epochs), 'ba' (updates), 'sp' (samples), 'tok' (tokens)"
_SCALES = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9, "T": 10**12}
_NUMBER = r"(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]{1,2})?"
# A length that a text may hold without quotes: a number right before a unit.
BARE = rf"{_NUMBER}(?:%|[kKMGBT]?(?:ep|ba|sp|tok|dur)\b|[kKMGBT]\b)"
_LENGTH = re.compile(rf"\s*\+?(?P<number>{_NUMBER})\s*(?P<scale>[kKMGBT]?)\s*(?P<unit>%|(?i:ep|ba|sp|tok|dur)|)\s*")
# More is an accident: no run is so long, and no part of it so fine.
_MOST_CHARACTERS = 60


def read_length(text: str) -> tuple[Fraction, str, str] | None:
    """Return number, multiple ("k", ...) and unit of a text such as "2.5kep", or None if it is no such text.

    Examples:
        >>> read_length("2.5kep"), read_length("soon")
        ((Fraction(5, 2), 'k', 'ep'), None)
    """
    match = _LENGTH.fullmatch(text) if len(text) <= _MOST_CHARACTERS else None
    if match is None:
        return None
    return Fraction(match["number"].replace("_", "")), match["scale"], match["unit"].lower()


@dataclass(frozen=True)
class Quantity:
    """A length in a unit of the run: "dur" (parts of the run), "ep", "ba" (updates), "sp" or "tok".

    It prints as the text that a template writes for it.
    """

    number: Fraction
    unit: str

    def __repr__(self) -> str:
        number, unit = self.number, self.unit
        if unit == "dur":
            number, unit = number * 100, "%"
        elif unit == "ba" and number >= 1000 and number % 1000 == 0:
            number, unit = number / 1000, "k"
        # Exact: these numbers have been read as decimals.
        decimal = Context(prec=400).divide(Decimal(number.numerator), Decimal(number.denominator)).normalize()
        digits, exponent = format(decimal, "f"), f"{decimal:e}".replace("e+", "e")
        return repr((exponent if len(exponent) < len(digits) and number > 1 else digits) + unit)


def quantity(text: str) -> Quantity | None:
    """Return the length that a text says, or None if it has no unit and no multiple.

    Examples:
        >>> quantity("5%"), quantity("0.05dur"), quantity("10k"), quantity("2_500e6tok"), quantity("1-sqrt")
        ('5%', '5%', '10k', '2.5e9tok', None)
    """
    found = read_length(text)
    if found is None or found[1:] == ("", ""):
        return None
    number, scale, unit = found
    number *= _SCALES[scale]
    return Quantity(number / 100, "dur") if unit == "%" else Quantity(number, unit or "ba")


def has_units(content: Any) -> bool:
    """Return whether an argument is a length in a unit, holds one, or is a template."""
    if isinstance(content, tuple | list):
        return any(map(has_units, content))
    return isinstance(content, Quantity) or getattr(content, "kind", "") == "template"
