"""Which fonts draw the letters of a picture, and what is said where none does."""

from __future__ import annotations

import logging

import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

from atu.report.drawing import look, pdf, png, wrap
from atu.report.fonts import find_fonts, use_fonts

NAMES = "鲁迅 夏目漱石 세종대왕"
NOBODYS = "\U000f1234\U000f1235"
"""Of the private use area: no font has these."""


def picture(label: str) -> Figure:
    figure = Figure(figsize=(3, 2))
    axes = figure.subplots()
    axes.plot([1, 2], [1, 2], label=label)
    axes.set_title(label, weight="bold")
    axes.legend()
    return figure


def test_letters_of_the_own_font_need_no_other() -> None:
    assert find_fonts("ours, NPO + retain KL ↓ ± – Лев Ωμέγα é") == ([], set())
    figure = picture("ours")
    families = [text.get_fontfamily() for text in figure.findobj(Text)]
    use_fonts(figure)
    assert [text.get_fontfamily() for text in figure.findobj(Text)] == families


def test_letters_come_from_installed_fonts_that_have_them() -> None:
    families, missing = find_fonts(NAMES)
    found = {code for family in families for code in font_manager.get_font(font_manager.findfont(family)).get_charmap()}
    assert missing == {c for c in NAMES.replace(" ", "") if ord(c) not in found}
    assert not any("Last" in family for family in families)


def test_pictures_with_any_letters_are_drawn_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), look():
        assert png(picture(NAMES)) != png(picture("夏目漱石 세종대왕 鲁迅"))
        assert pdf(picture(NAMES)).startswith(b"%PDF")
    assert len(caplog.records) == bool(find_fonts(NAMES)[1])


def test_letters_that_no_font_has_are_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), look():
        png(picture(NOBODYS))
        pdf(picture(NOBODYS))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    message = caplog.records[0].getMessage()
    assert NOBODYS in message
    assert "fonts-noto-cjk" in message
    assert "\n" not in message


def test_wide_letters_count_twice_where_lines_break() -> None:
    assert wrap("ab cd ef", 5) == ["ab cd", "ef"]
    assert wrap("鲁迅 巴金 老舍", 9) == ["鲁迅 巴金", "老舍"]
    assert wrap("", 5) == []
