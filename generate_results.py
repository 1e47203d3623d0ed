"""Tables, figures and a page from runs: `python generate_results.py --help`; RESULTS_GUIDE.md explains them."""

from __future__ import annotations

import sys

try:
    from atu.entry.guard import exit_codes
    from atu.report.generate import generate
    from atu.report.options import read_options
    from atu.text.escaping import one_line
except ModuleNotFoundError as error:
    print(
        f"error: {sys.executable} lacks '{error.name}', which this project needs: run `make setup` once, then "
        "`. .venv/bin/activate` in each new shell.",
        file=sys.stderr,
    )
    raise SystemExit(2) from None
except (ImportError, MemoryError, OSError) as error:  # before there is a guard that could say so
    said = " ".join(f"{type(error).__name__}: {error}".split())[-200:]
    print(
        f"error: this project's packages cannot be loaded ({said}). Is there too little memory, or a low `ulimit`?",
        file=sys.stderr,
    )
    raise SystemExit(2) from None

if __name__ == "__main__":
    with exit_codes("The same command starts anew."):
        options = read_options(sys.argv[1:])
        for note in generate(options).notes:
            print(one_line(f"note: {note}"), file=sys.stderr)
        print(f"tables, figures and index.html: {options.output_dir}")
