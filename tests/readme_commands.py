"""Runs the commands of a checkout one after another, each in a process of its own that has torch already.

`python readme_commands.py COMMANDS.json`, in the checkout's folder: a list of command lines, each a list of words, the
first of them `python` or `atu`. On stdout: a list of [exit code, what was written to stdout and stderr].
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from tempfile import TemporaryFile


def run(words: list[str]) -> list[object]:
    """Fork, run one command in the child as a shell would, and say how it ended."""
    with TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # nothing is typed
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            code = 1
            try:
                program, *arguments = words
                if program == "python":
                    sys.argv = arguments
                    runpy.run_path(arguments[0], run_name="__main__")
                else:
                    sys.argv = words
                    from atu.cli import main

                    main()
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        output.seek(0)
        return [os.waitstatus_to_exitcode(status), output.read().decode("utf-8", "replace")]


if __name__ == "__main__":
    import atu.audit
    import atu.run
    import atu.teaching.teach  # noqa: F401  # what takes seconds is imported once

    print(json.dumps([run(words) for words in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))]))
