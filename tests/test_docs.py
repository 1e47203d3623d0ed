"""The site of docs/ builds without a warning: each link leads somewhere, and each page stands in the contents."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q"]
    folders = ["-d", tmp_path / "doctrees", ROOT / "docs", tmp_path / "site"]
    done = subprocess.run([*command, *map(str, folders)], capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stderr
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages <= {path.stem for path in (tmp_path / "site").glob("*.html")}
    assert "atu.api.unlearn" in (tmp_path / "site" / "api.html").read_text(encoding="utf-8")


def test_the_reference_is_what_the_program_has() -> None:
    """`python tools/reference.py` writes it anew."""
    page = runpy.run_path(str(ROOT / "tools" / "reference.py"))["page"]()
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == page
