"""Text of others (names, labels, answers) on its way into a terminal, a table or a file name: each by its own rules.

HTML and JSON inside of it are escaped by their libraries, in `report/page_template.py`.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

_TURNS_DIRECTION = set("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that make what follows read the other way round, so that a name shows as another one."""

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # At the beginning of a row these two would be read as the argument of the line end before it.
    "[": "{[}",
    "*": "{*}",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "·": r"$\cdot$",
    "±": r"$\pm$",
    "−": "--",
    "–": "--",
    "\ufffd": "?",
}
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""What a spreadsheet computes (https://owasp.org/www-community/attacks/CSV_Injection)."""
_MARKDOWN = re.compile(
    r"[\\`*\[\]|~$!]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # between letters and digits it is no markup
    r"|^(?:[-+#=](?=\s|$|[-+#=])|\d{1,9}(?=[.)](?:\s|$)))|#(?=#*$)"
)
_ENTITY = re.compile(r"&(?=#?\w+;)")
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE | re.DOTALL)


def one_line(text: str) -> str:
    """The text on one line and without control characters: a terminal obeys some of them, and files are cut at others.

    White space becomes a space; what cannot be shown (control characters, marks that turn the reading direction, halves
    of surrogate pairs) becomes U+FFFD.
    """
    return "".join(" " if sign.isspace() else sign if _is_harmless(sign) else "\ufffd" for sign in text)


def visible(text: str) -> str:
    """With what cannot be printed as Python writes it (`\\n`, `\\x1b`): for messages about the very text."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def latex(text: str) -> str:
    """As text of a LaTeX table's cell, a caption or a sentence."""
    return "".join(_LATEX.get(sign, sign) for sign in one_line(text))


def csv_text(text: str) -> str:
    """As a cell that a spreadsheet shows and does not compute: an apostrophe stands before a formula.

    For text alone; of a number the sign would no longer be one. Quotes and commas are the csv module's matter.
    """
    flat = one_line(text)
    return f"'{flat}" if _FORMULA.match(flat) else flat


def markdown(text: str) -> str:
    """As text of a Markdown paragraph, heading, list item or table cell, with no markup and no HTML of its own."""
    flat = one_line(text).strip()
    marked = _MARKDOWN.sub(_behind_backslash, _ENTITY.sub("&amp;", flat))
    return marked.replace("<", "&lt;").replace(">", "&gt;")


def markdown_code(text: str) -> str:
    """As a span of code in Markdown, in which a backtick has no escape and becomes an apostrophe."""
    return f"`{one_line(text).strip().replace('`', chr(39)).replace('|', '/') or ' '}`"


def file_name(text: str, max_bytes: int = 120) -> str:
    """As one name of a file or folder on every system: no separators, no device of Windows, not too long.

    Two texts that differ only in what is replaced get one name, two that are cut get two.
    """
    name = re.sub(r"[^\w.+-]+", "-", text).strip(".-")
    if is_device_name(name):
        name = f"_{name}"
    data = name.encode(errors="replace")
    if len(data) > max_bytes:
        digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:8]
        name = f"{data[: max_bytes - 9].decode(errors='ignore').rstrip('.-')}-{digest}"
    return name or "_"


def is_device_name(name: str) -> bool:
    """Whether Windows keeps this name for a device, as it does with any ending."""
    return _DEVICE.fullmatch(name) is not None


def _behind_backslash(found: re.Match[str]) -> str:
    """A number at the beginning would open a list by the sign behind it, which is escaped then."""
    text = found[0]
    return f"{text}\\" if text.isdigit() else f"\\{text}"


def _is_harmless(sign: str) -> bool:
    return unicodedata.category(sign) not in ("Cc", "Cs") and sign not in _TURNS_DIRECTION
