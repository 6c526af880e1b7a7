"""What names a pickle holds."""

import io
import pickle
from typing import Any


def globals_of(content: bytes) -> set[str]:
    """Return the names that loading a pickle looks up, as `module.name`, and load it."""
    found = set()

    class Noting(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            found.add(f"{module}.{name}")
            return super().find_class(module, name)

    Noting(io.BytesIO(content)).load()
    return found


def private(names: set[str]) -> set[str]:
    """Return the names of ours that lie in a private module or are private."""
    return {name for name in names if name.startswith("lrsched") and "._" in name}
