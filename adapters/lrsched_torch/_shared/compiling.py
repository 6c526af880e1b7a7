"""What happens where a compiler fails: the next way to run a rule is taken, and that is said once."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from lrsched import rules

Kinds = tuple[type[Exception], ...]
# The ways to run a rule with `compile=True`, best first, as warnings call them.
CPP, CPP_ALONE, INDUCTOR, EAGER = "C++", "C++ on one thread", "Inductor", "eager"
OPENMP = "OpenMP"


class CannotCompile(RuntimeError):
    """Something cannot be compiled; whoever raises it has changed nothing."""

    # Whether the compiler does not end, so that nobody else should wait for it.
    hangs = False


class Ways:
    """What an optimizer has found out about the ways to run a rule.

    Args:
        rule: the rule.
        asked: whether the user has asked to compile it.
    """

    def __init__(self, rule: rules.Rule, *, asked: bool) -> None:
        self.rule, self.asked = rule, asked
        self.failed: dict[str, CannotCompile] = {}  # what, and why
        self.pays: bool | None = None  # whether to compile what nobody has asked for

    def tell(self, engine: str) -> None:
        """Say which way is taken, and why."""
        why = "; ".join(f"{name} fails ({error})" for name, error in self.failed.items())
        if self.asked:
            warnings.warn(f"RuleOptimizer(compile=True) runs {self.rule!r} as {engine!r}: {why}", stacklevel=2)


def engine_of(ways: Ways | None) -> str:
    """Return what runs whole tensors: Inductor, unless it has failed or, without ways, nothing is to be compiled."""
    return EAGER if ways is None or INDUCTOR in ways.failed else INDUCTOR


@contextmanager
def compiling(kinds: Callable[[], Kinds]) -> Iterator[None]:
    """Make a `CannotCompile` of what a compiler raises inside; that memory runs out stays what it is.

    Args:
        kinds: returns the exceptions that mean that the compiler fails; asked when there is one.

    Raises:
        CannotCompile: the compiler fails.
    """
    try:
        yield
    except Exception as error:
        lacking = any(isinstance(x, MemoryError | torch.OutOfMemoryError) for x in _causes(error))
        if lacking or isinstance(error, CannotCompile) or not isinstance(error, kinds()):
            raise
        raise CannotCompile(brief(f"{type(error).__name__}: {error}")) from error


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let no deprecation in the code of PyTorch be an error inside, whatever the user's filters: it is not his code."""
    with warnings.catch_warnings():
        for kind in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", kind)
        yield


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and those that it comes from."""
    while error is not None:
        yield error
        error = getattr(error, "inner_exception", None) or error.__cause__ or error.__context__


def brief(text: str) -> str:
    """Return the first line of a text that says something, of at most 200 characters."""
    first = next(filter(None, map(str.strip, text.splitlines())), "nothing said")
    return first if len(first) <= 200 else f"{first[:197]}..."


def of_torch() -> Kinds:
    """Return what `torch.compile` raises where it cannot compile a function."""
    from torch._dynamo import exc as dynamo
    from torch._inductor import exc as inductor

    return (
        dynamo.TorchDynamoException, dynamo.FailOnRecompileLimitHit, inductor.InvalidCxxCompiler,
        inductor.CppCompileError, inductor.OperatorIssue,
    )  # fmt: skip
