"""Reads the pages that reports are, as files or as a real browser leaves them."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="needs a browser: apt-get install --no-install-recommends chromium"
)


class Page(html.parser.HTMLParser):
    """Elements of a page, its text, and apart from that the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[tuple[str, str]] = []
        self.text = ""
        self._script_type: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.elements.append((tag, values))
        if tag == "script":
            self._script_type = values.get("type", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script_type = None

    def handle_data(self, data: str) -> None:
        if self._script_type is None:
            self.text += data
        else:
            self.scripts.append((self._script_type, data))

    @property
    def data(self) -> dict[str, object]:
        """What the page's script draws."""
        (text,) = [text for kind, text in self.scripts if kind == "application/json"]
        value: dict[str, object] = json.loads(text)
        return value

    @property
    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]

    @property
    def classes(self) -> list[str]:
        return [name for _, values in self.elements for name in values.get("class", "").split()]

    @property
    def language(self) -> str:
        return next(values.get("lang", "") for tag, values in self.elements if tag == "html")

    def values(self, attribute: str, tag: str | None = None) -> list[str]:
        """Values of an attribute, in the order of the page."""
        return [values[attribute] for name, values in self.elements if attribute in values and tag in (None, name)]


def read_page(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def assert_self_contained(path: Path) -> None:
    """Nothing is loaded, and only the page's own script may run; links to other files of the disk are allowed."""
    page = read_page(path)
    for tag, attributes in page.elements:
        assert tag not in {"iframe", "object", "embed", "base"}
        for name in ("src", "srcset", "action", "data", "poster", "xlink:href"):
            assert name not in attributes
        assert attributes.get("href", "#").startswith(("#", "data:,", "./"))
        assert not any(name.startswith("on") for name in attributes)
    style = re.search(r"<style>(.*?)</style>", path.read_text(encoding="utf-8"), re.S)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    (policy,) = [a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    (script,) = [text for kind, text in page.scripts if not kind]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        f"script-src 'sha256-{digest}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    # The policy stands before everything that it governs.
    assert page.tags.index("meta") < page.tags.index("style") < page.tags.index("script")


def browse(page: Path | str, profile: Path, *arguments: str, fragment: str = "") -> subprocess.CompletedProcess[str]:
    """Open a page in a headless browser: a file, or an address."""
    assert CHROMIUM is not None
    return subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
            "--window-size=1280,900",
            "--virtual-time-budget=5000",
            "--lang=en-US",
            "--enable-logging=stderr",
            "--v=0",
            *arguments,
            f"{page if isinstance(page, str) else f'file://{page}'}{f'#{fragment}' if fragment else ''}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def acting_copy(page: Path, actions: str, folder: Path) -> Path:
    """A copy without the policy, in which a script does what a reader would do."""
    copy = folder / "acted.html"
    copy.write_text(acting(page.read_text(encoding="utf-8"), actions), encoding="utf-8")
    return copy


def acting(page: str, actions: str) -> str:
    """The text of such a copy."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    return text.replace("</body>", f"<script>{actions}</script></body>")
