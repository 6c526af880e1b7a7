"""Whether another distribution that is imported as `lrsched` is installed over this one."""

import os
import warnings


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
