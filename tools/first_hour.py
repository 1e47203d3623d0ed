"""Play the first hour of somebody new: a fresh clone, an empty home, and README's commands in their order.

    python tools/first_hour.py                     # hours: it tests, trains and teaches for real
    python tools/first_hour.py --until "atu chat"  # stops behind the first command with these words

On stdout: a table with the seconds, the exit code and the last words of each. Packages come from the network; nothing
else does. What needs a hub, a GPU or SLURM is named and left out. Exit code 1 where a command failed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = {
    "download_rwku_data.sh": "needs the hub",
    "data/rwku": "needs RWKU's files, from the hub",
    "rwku-questions": "needs RWKU's files, from the hub",
    "paper-scale": "needs a GPU and the hub",
    "lrz-a100": "needs SLURM",
    "git clone": "done at the beginning",
}
"""Words of a command, and why it does not run here."""


def commands(readme: str) -> Iterator[str]:
    """The lines of README's blocks of commands, without the words behind `#`."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", readme, flags=re.DOTALL | re.MULTILINE)
    for block in (text for language, text in blocks if not language):
        for line in block.replace("\\\n", " ").splitlines():
            command = re.sub(r"\s+#.*$", "", line).strip()
            if command:
                yield command


def main() -> None:
    """Run them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--until", default=None, metavar="WORDS", help="the last command to run")
    until = parser.parse_args().until
    failed = False
    with TemporaryDirectory(prefix="first-hour-") as folder:
        clone, home = Path(folder) / "clone", Path(folder) / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        environment = {"HOME": str(home), "LANG": "C.UTF-8", "COLUMNS": "80", "HF_HUB_OFFLINE": "1"}
        environment |= {key: os.environ[key] for key in os.environ if key.startswith(("PIP_", "UV_", "SSL_", "ATU_"))}
        path = f"{clone}/.venv/bin:{os.environ.get('PATH', '')}"
        print("| command | seconds | exit code | last words |\n| --- | --- | --- | --- |", flush=True)
        for command in commands((clone / "README.md").read_text(encoding="utf-8")):
            why = next((reason for words, reason in LEFT_OUT.items() if words in command), None)
            if why is not None:
                print(f"| `{command}` | | | left out: {why} |", flush=True)
                continue
            began = time.monotonic()
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=clone,
                env={**environment, "PATH": path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
            )
            last = (done.stdout.strip().splitlines() or [""])[-1].replace("|", "\\|")[:100]
            failed |= done.returncode != 0
            print(f"| `{command}` | {time.monotonic() - began:.0f} | {done.returncode} | {last} |", flush=True)
            if until is not None and until in command:
                break
    sys.exit(failed)


if __name__ == "__main__":
    main()
