"""Processes of a script that share a group of `torch.distributed`, as torchrun starts them."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def started(script: str, processes: int, folder: Path, *arguments: str) -> list[Any]:
    """Return what a script of this folder writes in each of several processes, as JSON, to its last argument."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    path = os.pathsep.join([str(HERE), os.environ["PYTHONPATH"]])
    files = [folder / f"{Path(script).stem}_{rank}.json" for rank in range(processes)]
    running = [
        subprocess.Popen(
            [sys.executable, str(HERE / script), *arguments, str(file)],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank), "PYTHONPATH": path},
        )
        for rank, file in enumerate(files)
    ]
    assert [one.wait(timeout=300) for one in running] == [0] * processes
    return [json.loads(file.read_text()) for file in files]
