"""Marks, letterings and or-words of Chinese, Japanese, Korean and Thai, turned into those that the scorers' rules read.

A text without these scripts and without wide characters stays as it is.
"""

from __future__ import annotations

import regex

from atu.text.scripts import HANGUL, is_east_asian

_PLAIN = {
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},  # the wide forms of ASCII
    **{ord(mark): f"{plain} " for mark, plain in zip("：；？！）．。｡។။।", ":;?!)......", strict=True)},
    ord("（"): " (",
    ord("、"): ", ",
}
_LETTERS = "ABCDEFGH"
_LETTERINGS = ("①②③④⑤⑥⑦⑧", "甲乙丙丁戊己庚辛", "アイウエオカキク", "가나다라마바사아", "กขคงจฉชซ")
"""How options are numbered elsewhere; each stands for A to H."""
_OPTION = regex.compile(r"(?<![A-Za-z])\(?([A-H])(?:[).:]|, )\s*(?=\S)")
_OR = regex.compile(
    r"\s*(?:或者|或是|或(?![许許])|または|もしくは|あるいは|それとも|หรือ|(?<=\s)(?:또는|혹은|아니면)(?=\s))\s*"
)
_OR_IN_QUESTION = regex.compile(r"\s*[还還]是\s*")
_NAME = "[^，。？！；,.?!;]{1,12}"
_OR_IN_ANSWER = regex.compile(rf"(?<=是{_NAME})[还還]是(?={_NAME}(?:[。？！.?!]|$))")
"""Behind a comma, or before a clause, 还是 means "still"."""
COPULA = regex.compile(rf"是|[为為]|は|が|คือ|เป็น|(?<={HANGUL})[은는이가](?=\s)")
"""Parts what is spoken of from what is said about it."""
_AROUND_A_LETTER = regex.compile(
    "正[确確]|答案|[选選][项項]?|[应應][该該]|[是为為我项項]|正解|答え|です|[はだ]|정답|답|입니다|[은는번]|คำตอบ|คือ|ข้อ"
)


def question_marks(question: str) -> str:
    """A question as the rule for options reads it: "A、呐喊 B、子夜" as "A) 呐喊 B) 子夜", 、 as a comma."""
    if not _is_touched(question):
        return question
    text = _with_letters(question).translate(_PLAIN | {ord("，"): ", "})
    text = _OPTION.sub(r" \1) ", text)
    return str(_OR_IN_QUESTION.sub(" or ", _OR.sub(" or ", text)))


def answer_marks(answer: str) -> str:
    """An answer as the rule for guesses reads it: 、 parts items; 。 and ， end a clause."""
    if not _is_touched(answer):
        return answer
    return str(_OR.sub(" or ", _OR_IN_ANSWER.sub(" or ", answer))).translate(_PLAIN | {ord("，"): ". "})


def letter_marks(answer: str) -> str:
    """An answer as the rule for a letter alone reads it: "答案是B。" as "B. "."""
    if not _is_touched(answer):
        return answer
    bare = str(_AROUND_A_LETTER.sub(" ", answer)).translate(_PLAIN).strip(" .,:)(")
    for lettering in _LETTERINGS:
        if len(bare) == 1 and bare in lettering:
            return _LETTERS[lettering.index(bare)]
    return bare


def _with_letters(question: str) -> str:
    """Other letterings of options as A to H, where the first two of one are there."""
    for lettering in _LETTERINGS:
        behind = "" if lettering.startswith("①") else r"[).:、．）]"
        marks = [rf"(?<![\p{{L}}\p{{M}}])[(（]?{sign}{behind}" for sign in lettering]
        if all(regex.search(mark, question) for mark in marks[:2]):
            for letter, mark in zip(_LETTERS, marks, strict=True):
                question = regex.sub(mark, f" {letter}) ", question)
    return question


def _is_touched(text: str) -> bool:
    return is_east_asian(text) or any("！" <= c <= "～" or c in _LETTERINGS[0] for c in text)
