"""`parse`: a rule from its text."""

from lrsched._core.offers import CALLS
from lrsched._core.parse import parse_value
from lrsched.rules._library.base import Link, Rule
from lrsched.rules._library.recipes import LAMB, LARS, AdamaxW, AdamW, AMSGrad, NAdamW, Nesterov, Signum, lamb, lars

CALLS["rule"] = {
    "AMSGrad": AMSGrad,
    "AdamW": AdamW,
    "AdamaxW": AdamaxW,
    "LAMB": LAMB,
    "LARS": LARS,
    "NAdamW": NAdamW,
    "Nesterov": Nesterov,
    "Signum": Signum,
    "lamb": lamb,
    "lars": lars,
}


def parse(text: str) -> Link:
    """Build the rule, or the part of one, that a text describes: the inverse of `repr`.

    Args:
        text: what `repr` prints, for example `"ClipByGlobalNorm(1.0) >> Adam(b1=0.95)"`; calls of `AdamW`, `LAMB` and
            the other named expressions too.

    Returns:
        The rule; `parse(repr(rule)) == rule`. Nothing but the constructors of rules and these functions is called.

    Raises:
        TypeError: `text` is not a str.
        ValueError: the text is not a rule; the message names line and column.

    Examples:
        >>> from lrsched import rules
        >>> rules.parse("ClipByGlobalNorm(1.0) >> AdamW(weight_decay=0.1)")
        ClipByGlobalNorm(1.0) >> Adam() >> DecoupledWeightDecay(0.1)
    """
    try:
        rule: Link = parse_value(text, "rule")
    except ValueError as error:
        raise ValueError(f"parse(text): {error}") from None
    return rule


# As of the other `parse`: the texts that programs hold are of rules.
parse.__annotations__["return"] = Rule
