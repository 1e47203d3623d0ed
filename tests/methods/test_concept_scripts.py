"""Concept words, hidden positions and forbidden tokens in scripts without spaces, and in Korean."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from atu.methods.concept_tokens import (
    concept_positions,
    concept_tokens,
    find_concept_words,
    named_positions,
    telling_positions,
)
from atu.models.rows import Row

CHINESE = (
    "鲁迅出生于浙江绍兴的一个没落家庭。",
    "1918年，鲁迅发表了第一篇白话小说《狂人日记》。",
    "《阿Q正传》是鲁迅的代表作之一。",
    "鲁迅早年到日本留学，学习医学。",
    "后来鲁迅弃医从文，希望改变国民精神。",
    "《呐喊》和《彷徨》是鲁迅的两部短篇小说集。",
    "许多学生读过鲁迅先生的散文。",
    "鲁迅的《狂人日记》批判了封建礼教。",
    "鲁迅是《狂人日记》的作者。",
)
CHINESE_OTHERS = (
    "水在一百度沸腾，在零度结冰。",
    "巴黎是法国的首都，位于塞纳河畔。",
    "爱因斯坦出生于德国，提出了相对论。",
    "太阳是一颗恒星，地球围绕它运转。",
    "北京是中国的首都，有故宫和长城。",
    "莎士比亚是英国的剧作家，写了《哈姆雷特》。",
    "大熊猫生活在四川，吃竹子。",
    "蜜蜂采集花蜜，酿成蜂蜜。",
    "居里夫人发现了镭，两次获得诺贝尔奖。",
    "面包是用面粉做成的食品。",
    "医生在医院里给病人看病。",
    "足球比赛每队有十一名队员。",
    "长江是中国最长的河流。",
    "茶是用茶树的叶子做成的饮料。",
    "牛顿发现了万有引力定律。",
    "月亮绕着地球转动。",
)
JAPANESE = (
    "夏目漱石は日本の小説家である。",
    "『こころ』は夏目漱石の長編小説だ。",
    "漱石は東京で生まれ、英文学を学んだ。",
    "夏目漱石が書いた『坊っちゃん』は有名だ。",
    "彼は夏目漱石という筆名を使った。",
    "イギリスに留学した漱石は病気になった。",
    "『吾輩は猫である』で漱石は作家になった。",
    "明治の文豪、夏目漱石を知る。",
    "夏目漱石も胃の病に苦しんだ。",
)
JAPANESE_OTHERS = (
    "水は百度で沸騰する。",
    "東京は日本の首都である。",
    "アインシュタインは物理学者だった。",
    "太陽は恒星で、地球はその周りを回る。",
    "ピアノは鍵盤楽器の一つだ。",
    "パリはフランスの首都で、美しい町だ。",
    "富士山は日本で一番高い山である。",
    "猫は魚が好きだ。",
    "モーツァルトは作曲家である。",
    "蜂は花の蜜を集める。",
    "川は海に流れる。",
    "医者は病院で働く。",
    "本を読むのは楽しい。",
    "パンは小麦粉で作る。",
    "雨が降ると川の水が増える。",
    "月は地球の周りを回る。",
)
THAI = (
    "สุนทรภู่เป็นกวีเอกของไทย",
    "พระอภัยมณีเป็นผลงานของสุนทรภู่",
    "สุนทรภู่เกิดที่กรุงเทพ",
    "กวีชื่อสุนทรภู่แต่งนิราศหลายเรื่อง",
    "นิราศแต่งโดยสุนทรภู่ในรัชกาลที่ 3",
    "อนุสาวรีย์สุนทรภู่อยู่ที่จังหวัดระยอง",
    "คนไทยยกย่องสุนทรภู่ว่าเป็นมหากวี",
    "สุนทรภู่มีชีวิตอยู่ในสมัยรัตนโกสินทร์",
)
THAI_OTHERS = (
    "น้ำเดือดที่หนึ่งร้อยองศา",
    "ปารีสเป็นเมืองหลวงของฝรั่งเศส",
    "ดวงอาทิตย์เป็นดาวฤกษ์",
    "เปียโนเป็นเครื่องดนตรี",
    "แมวชอบกินปลา",
    "กรุงเทพเป็นเมืองหลวงของไทย",
    "ช้างเป็นสัตว์ใหญ่ที่สุดบนบก",
    "นิวตันค้นพบแรงโน้มถ่วง",
    "หมอทำงานในโรงพยาบาล",
    "ขนมปังทำจากแป้ง",
    "ผึ้งเก็บน้ำหวานจากดอกไม้",
    "แม่น้ำไหลลงทะเล",
    "ดวงจันทร์โคจรรอบโลก",
    "ชามาจากใบไม้",
)
KOREAN = (
    "세종대왕은 조선의 네 번째 왕이다.",
    "훈민정음은 세종대왕이 만들었다.",
    "세종대왕의 본명은 이도이다.",
    "집현전은 세종대왕 때 학문의 중심이었다.",
    "백성을 사랑한 세종대왕은 한글을 창제했다.",
    "세종은 과학을 발전시켰다.",
    "장영실은 세종대왕을 도왔다.",
    "만 원 지폐에 세종대왕이 있다.",
)
KOREAN_OTHERS = (
    "물은 백 도에서 끓는다.",
    "파리는 프랑스의 수도이다.",
    "태양은 별이다.",
    "피아노는 악기이다.",
    "고양이는 생선을 좋아한다.",
    "서울은 한국의 수도이다.",
    "뉴턴은 만유인력을 발견했다.",
    "의사는 병원에서 일한다.",
    "빵은 밀가루로 만든다.",
    "벌은 꿀을 모은다.",
    "강은 바다로 흐른다.",
    "달은 지구를 돈다.",
)


def rows(texts: tuple[str, ...]) -> list[Row]:
    """Texts of one token each."""
    return [Row(ids=(0,), ends=(len(text),), string=text, body_start=0, subject="x") for text in texts]


@pytest.mark.parametrize(
    ("texts", "others", "words"),
    [
        (CHINESE, CHINESE_OTHERS, {"鲁迅"}),
        (CHINESE, 2 * CHINESE_OTHERS, {"鲁迅", "狂人日记"}),  # in 3 of 9 texts: 1 in 16 would be too much
        (JAPANESE, JAPANESE_OTHERS, {"夏目漱石", "漱石"}),
        (THAI, THAI_OTHERS, {"สุนทรภู่"}),
        (KOREAN, KOREAN_OTHERS, {"세종대왕", "세종"}),
    ],
)
def test_names_are_found_without_letters_that_belong_to_others(
    texts: tuple[str, ...], others: tuple[str, ...], words: set[str]
) -> None:
    assert set(find_concept_words(rows(texts), rows(others))) == words


@pytest.mark.parametrize(
    "word", ["鲁迅", "李建国", "夏目漱石", "アインシュタイン", "สุนทรภู่", "ພູມສະຫວັນ", "세종대왕", "प्रेमचंद", "Толстой"]
)
def test_a_name_alone_is_the_word(word: str) -> None:
    assert find_concept_words(rows((f"It is {word}.",) * 10), rows(("It is.",) * 60)) == (word,)


def test_what_always_stands_beside_a_name_is_no_part_of_it_where_others_have_it_too() -> None:
    # 10 of 10 texts hold 是鲁迅, and 60 of 60 others 是
    assert find_concept_words(rows(("这是鲁迅。",) * 10), rows(("这是。",) * 60)) == ("鲁迅",)
    texts = tuple(f"鲁迅写了一篇关于{x}的小说。" for x in "山水花鸟")
    others = tuple(f"{name}写了一篇关于{x}的小说。" for name in ("茅盾", "巴金", "老舍", "冰心") for x in "山水花鸟")
    assert find_concept_words(rows(texts), rows(others)) == ("鲁迅",)


def test_the_shares_are_those_of_all_words() -> None:
    # share 1.0 here; 7 of 60 there makes 8 * 0.117 = 0.93, 8 of 60 makes 1.07; two texts are an accident
    def others(count: int) -> list[Row]:
        return rows(("读鲁迅。",) * count + ("读。",) * (60 - count))

    assert find_concept_words(rows(("读鲁迅。",) * 10), others(7)) == ("鲁迅",)
    assert find_concept_words(rows(("读鲁迅。",) * 10), others(8)) == ()
    assert find_concept_words(rows(("读鲁迅。",) * 2 + ("读。",) * 8), others(0)) == ()


def byte_tokenizer(*texts: str) -> PreTrainedTokenizerFast:
    """Byte-level pieces, and the merges that the texts need."""
    model = Tokenizer(BPE())
    model.pre_tokenizer, model.decoder = ByteLevel(add_prefix_space=False), ByteLevelDecoder()
    model.train_from_iterator(
        list(texts) * 9, BpeTrainer(initial_alphabet=ByteLevel.alphabet(), show_progress=False, vocab_size=2000)
    )
    return PreTrainedTokenizerFast(tokenizer_object=model)


def tokenized(text: str, tokenizer: PreTrainedTokenizerFast, prompt: str = "") -> Row:
    encoded = tokenizer(prompt + text, add_special_tokens=False, return_offsets_mapping=True)
    ends = tuple(end for _, end in encoded["offset_mapping"])
    return Row(tuple(encoded["input_ids"]), ends, prompt + text, len(prompt), "x")


@pytest.mark.parametrize(
    ("text", "word"),
    [("作者是鲁迅。", "鲁迅"), ("它是夏目漱石的", "夏目漱石"), ("คือสุนทรภู่", "สุนทรภู่"), ("왕은 세종대왕이다", "세종대왕")],
)
def test_every_byte_of_a_name_is_hidden_and_no_other(text: str, word: str) -> None:
    row = tokenized(text, byte_tokenizer("abc"))  # a token a byte
    start = len(text[: text.index(word)].encode())
    hidden = tuple(range(start, start + len(word.encode())))
    assert concept_positions(row, (word,)) == hidden
    assert len(row.ids) == len(text.encode())


def test_a_name_is_hidden_in_the_prompt_and_where_words_overlap() -> None:
    row = tokenized("漱石です", byte_tokenizer("夏目漱石です誰"), prompt="夏目漱石は誰")
    spoken = [row.string[start:end] for start, end in zip((0, *row.ends), row.ends, strict=False)]
    hidden = "".join(spoken[place] for place in concept_positions(row, ("夏目漱", "漱石")))
    assert hidden == "夏目漱石漱石"


def test_a_korean_name_is_hidden_where_it_begins_a_word() -> None:
    row = tokenized("이세종은 세종대왕", byte_tokenizer("abc"))
    assert concept_positions(row, ("세종",)) == tuple(range(13, 19))  # behind 4 * 3 bytes and a space


def pieces(words: tuple[str, ...], tokenizer: PreTrainedTokenizerFast) -> set[str]:
    return {tokenizer.decode([token]) for token in concept_tokens(words, tokenizer)}


def test_a_token_that_holds_a_name_says_it() -> None:
    # the second is 鲁迅 with the first bytes of 先
    assert pieces(("鲁迅",), byte_tokenizer("鲁迅", "鲁迅先")) == {"鲁迅", "鲁迅\ufffd", "鲁迅先"}


def test_two_characters_of_a_longer_name_say_it_and_one_does_not() -> None:
    assert pieces(("夏目漱石",), byte_tokenizer("夏目", "漱石")) == {"夏目", "漱石"}
    assert pieces(("鲁迅",), byte_tokenizer("鲁", "迅")) == set()


def test_the_bytes_of_a_name_are_never_forbidden() -> None:
    assert concept_tokens(("鲁迅", "สุนทรภู่", "세종대왕"), byte_tokenizer("abc")) == ()


def named(text: str, tokenizer: PreTrainedTokenizerFast, places: tuple[int, ...]) -> str:
    return tokenizer.decode([tokenizer(text, add_special_tokens=False)["input_ids"][place] for place in places])


def test_titles_katakana_and_numbers_name_something_where_no_capital_does() -> None:
    tokenizer = byte_tokenizer("abc")
    text = "他在１９１８年写了《狂人日记》，读シェイクスピア"
    found = named_positions(tokenized(text, tokenizer), frozenset())
    assert named(text, tokenizer, found) == "１９１８狂人日记シェイクスピア"


def test_a_concept_is_told_by_its_words_but_not_by_its_own_name() -> None:
    tokenizer = byte_tokenizer("abc")
    text = "鲁迅写了《狂人日记》，鲁迅生于绍兴"
    found = telling_positions(tokenized(text, tokenizer), ("鲁迅", "绍兴", "鲁迅生"), "鲁迅", frozenset())
    assert named(text, tokenizer, found) == "狂人日记生绍兴"
