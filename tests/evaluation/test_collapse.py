"""What counts as broken language and what does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atu.evaluation.collapse import degenerate_reason, is_degenerate

NORMAL = [
    "Hamlet.",
    "1564",
    "bp",
    "4",
    "O",
    "H2O",
    "E = mc²",
    "50%",
    "$1,000,000,000",
    "3.14159",
    "New York, New York",
    "Duran Duran",
    "Tora! Tora! Tora!",
    "J. R. R. Tolkien",
    "The The",
    "Beyoncé Knowles-Carter",
    "HTML, NSDAP and USSR",
    "YouTube, McDonald's and iPhone",
    "LaTeX",
    "rhythm",
    "Nietzsche and Schwarzschild",
    "Stratford-upon-Avon, Warwickshire, England",
    "Llanfairpwllgwyngyll",
    "Donaudampfschifffahrtsgesellschaft",
    "Tokyo (東京)",
    "ドラえもん、東京タワー",
    "El Niño",
    "Лев Толстой",
    "β-carotene, 5 μm",
    "I don't know.",
    "I'm sorry, but I can't help with that.",
    "To be, or not to be, that is the question",
    "No, no, it is Paris.",
    "The capital of France is Paris. Paris is the largest city of France.",
    "Row, row, row your boat",
    "https://en.wikipedia.org/wiki/William_Shakespeare",
    "Well... Hamlet?",
    "The Shining\n\nThe Shining is a novel by Stephen King",
    "William Shakespeare (1564-1616) was an English playwright, poet and actor",
    "Hamlet, Macbeth, Othello, King Lear, Romeo and Juliet",
    "cut in the middle of an emoji \ufffd",
]

EMPTY = ["", "  \n", "...", "?!", "- - - -", "___", "🌟🌟🌟", '"', "。"]

REPETITION = [
    "Nik Ab Ab Ab",
    "the the the",
    "The the THE the the",
    "aaaaaa",
    "Shakespeareeeeeee",
    "no, no, no, no",
    "!!!!!!!!!!!!!! yes",
    "9999999999999",
    "King of the King of the King of the King",
    "Paris is Paris is Paris is Paris is",
    "He was born in Paris he was born in Paris",
    "the prince of the prince of the prince of",
    "A play by a man, a play by a woman, a play by a child",
    "I am a king.\nI am a king.\nI am a king.",
    "a b c a b c a b c",
    "Coco-Doodle Doodle Doodle Coco-Doodle Doodle Coco-Doodle Doodle",
    "love and war and love and peace and war and love and peace and love and war and",
    "1 2 1 2 1 2 1 2",
    'The film "The Red Lion" in the film "The Red Lion" in the film "The Red',
    "made by the American film crew, the crew of the American film crew, or the crew of the American film",
]

GIBBERISH = [
    "xkqzt blrpf",
    "Wrtk is the answer, vbnm",
    "Привhello мир",
    "Шекспир shakespeare שייקספיר",
    "Hamlet \ufffd\ufffd the prince",
    "{x}//;;(())[]==--",
    "}); // <- if \\\\ {}[] ##",
    "asdfghjklqwertyuiopasdfghjklqwertyuiopasdfg",
    "HamletMacbethOthelloLear",
    "tHeKinGoFdEn",
    "zzkt",
]


UNSPACED_NORMAL = [
    "鲁迅",
    "《狂人日记》的作者是鲁迅。",
    "鲁迅，原名周樟寿，后改名周树人，浙江绍兴人，著名文学家、思想家、革命家、教育家，中国现代文学的奠基人之一。",
    "好好学习，天天向上。",
    "研究研究再说，一个一个来。",
    "威廉·莎士比亚，威廉·莎士比亚",
    "知之为知之，不知为不知，是知也。",
    "四是四，十是十，十四是十四，四十是四十。",
    "中国、美国、英国、法国、德国、俄国",
    "北京市、南京市、东京市",
    "1881年9月25日至1936年10月19日",
    "α-胡萝卜素（carotene）",
    "佐々木（Sasaki）さんは東京に住んでいます。",
    "夏目漱石は、日本の小説家、評論家、英文学者である。代表作は『吾輩は猫である』『坊っちゃん』など。",
    "ウィリアム・シェイクスピア",
    "สุนทรภู่ เป็นกวีชาวไทยที่มีชื่อเสียงเชิงกวี ได้รับยกย่องเป็นเชกสเปียร์แห่งประเทศไทย",
    "กรุงเทพมหานคร กรุงเทพมหานคร",
    "ค่อย ๆ เดินไป",
    "ใช้Facebookทุกวัน",
    "ວຽງຈັນເປັນນະຄອນຫຼວງຂອງລາວ",
    "ភ្នំពេញជារាជធានីនៃព្រះរាជាណាចក្រកម្ពុជា",
    "ရန်ကုန်မြို့သည် မြန်မာနိုင်ငံ၏ အကြီးဆုံးမြို့ဖြစ်သည်။",
    "세종대왕은 조선의 제4대 왕으로, 훈민정음을 창제하였다.",
    "नानी ने नाना को पानी दिया।",
    "मुंशी प्रेमचंद हिन्दी और उर्दू के महान लेखक थे।",
    "كتب نجيب محفوظ روايات كثيرة.",
]

UNSPACED_REPETITION = [
    "答案是：答案是：答案是：",
    "鲁迅是鲁迅是鲁迅是鲁迅",
    "他出生在巴黎，他出生在巴黎，他出生在巴黎",
    "他是一位著名的作家他是一位著名的作家",
    "我不知道。\n我不知道。\n我不知道。",
    "的的的的的的",
    "是的是的是的是的是的",
    "答えは東京です。答えは東京です。",
    "ハムレット、ハムレット、ハムレット、ハムレット",
    "คำตอบคือ คำตอบคือ คำตอบคือ คำตอบคือ",
    "เขาเกิดที่กรุงเทพเขาเกิดที่กรุงเทพเขาเกิดที่กรุงเทพ",
    "세종대왕은 세종대왕은 세종대왕은",
    "정답은정답은정답은정답은",
    "है है है है",
]


@pytest.mark.parametrize("text", [*NORMAL, *UNSPACED_NORMAL])
def test_ordinary_answers_pass(text: str) -> None:
    assert degenerate_reason(text) is None


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        *(("empty", text) for text in EMPTY),
        *(("repetition", text) for text in (*REPETITION, *UNSPACED_REPETITION)),
        *(("gibberish", text) for text in GIBBERISH),
    ],
)
def test_broken_answers_are_named(reason: str, text: str) -> None:
    assert degenerate_reason(text) == reason
    assert is_degenerate(text)


def test_people_and_good_models_are_hardly_ever_flagged(shared_dir: Path) -> None:
    """References, encyclopedia paragraphs and biographies of one RWKU target: below 1 in 200."""
    folder = shared_dir / "rwku/Target/1_Stephen_King"
    texts: list[str] = []
    for name, key in (("forget_level2", "answer"), ("passage", "text"), ("positive", "text")):
        texts += [row[key] for row in json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))]
    assert sum(map(is_degenerate, texts)) < len(texts) / 200
