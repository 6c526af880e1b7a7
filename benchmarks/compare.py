"""Run the benchmarks of another checkout and of this one in turn: `python -m benchmarks.compare ../old [--only NAME]`.

A row's ratio is what ours took here, in units of its peer in the same process, over the same in the other checkout. The
interval runs from the smallest to the largest ratio of the rounds; a row is slower only if all of it lies above
`SLOWER`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.__main__ import MEASUREMENTS

HERE = Path(__file__).resolve().parents[1]
SLOWER = 1.03
Case = tuple[str, str, str]


def run(checkout: Path, only: list[str]) -> dict[Case, float]:
    """Return for each row of a checkout what ours took in units of its peer, or in seconds where there is none."""
    path = os.pathsep.join([str(checkout), str(checkout / "adapters")])
    command = [sys.executable, "-m", "benchmarks", "--json", "--only", *only]
    environment: dict[str, str] = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(command, cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return {
        (row["measurement"], row["case"], row["peer"]): row["ours_s"] / (row["peer_s"] or 1.0)
        for row in rows
        if row["ours_s"]
    }


def main() -> None:
    """Print a line for each row, the slowest last, and exit with 1 if one is slower."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("old", type=Path, help="the other checkout")
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, default=list(MEASUREMENTS), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    ratios: dict[Case, list[float]] = defaultdict(list)
    for i in range(options.rounds):
        checkouts = {"old": options.old.resolve(), "new": HERE}
        times = {which: run(checkouts[which], options.only) for which in (("old", "new") if i % 2 else ("new", "old"))}
        for case in times["old"].keys() & times["new"].keys():
            ratios[case].append(times["new"][case] / times["old"][case])
        print(f"round {i + 1} of {options.rounds}", file=sys.stderr)
    slower = 0
    for case, found in sorted(ratios.items(), key=lambda item: statistics.median(item[1])):
        wrong = min(found) > SLOWER
        slower += wrong
        interval = f"{statistics.median(found):6.2f}  [{min(found):.2f}, {max(found):.2f}]"
        print(interval, "slower" if wrong else "      ", *case, sep="  ")
    print(f"{slower} of {len(ratios)} rows are slower")
    raise SystemExit(slower > 0)


if __name__ == "__main__":
    main()
