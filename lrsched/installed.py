"""What is installed: whether another distribution lies over this one, and what is missing."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["needs", "warn_of_twin"]


@contextmanager
def needs(what: str, extra: str, *modules: str, more: str = "") -> Iterator[None]:
    """Say what to install where an import inside finds a module missing.

    Args:
        what: who needs it.
        extra: the extra of the distribution that brings it.
        modules: names of the modules that it brings; what else is missing is told as Python does.
        more: what the extra does not bring.

    Raises:
        ModuleNotFoundError: one of them is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in modules:
            raise
        how = f'which is not installed: pip install "lrsched-suite[{extra}]"{more}'
        raise ModuleNotFoundError(f"{what} needs {error.name}, {how}", name=error.name) from error


def warn_of_twin(package: str) -> None:
    """Warn if the folder that holds the package also says that the distribution `lrsched` is installed there.

    That is another library; ours is `lrsched-suite`. One look into a folder, since `importlib.metadata` would take
    longer than all else here.

    Args:
        package: folder of the package.
    """
    try:
        beside = os.listdir(os.path.dirname(package))
    except OSError:  # imported from an archive
        return
    twins = [name for name in beside if name.startswith("lrsched-") and name.endswith((".dist-info", ".egg-info"))]
    if twins:
        warnings.warn(
            f"two distributions are installed over each other in {package}: lrsched-suite, which is imported now, and "
            f"{twins[0].rpartition('.')[0]}, another library of the same import name. Files of both are mixed there. "
            "To keep this one: pip uninstall -y lrsched lrsched-suite && pip install lrsched-suite",
            stacklevel=3,
        )
