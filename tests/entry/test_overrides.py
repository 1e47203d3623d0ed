"""The command line: flags that do not exist, and texts that Hydra's grammar would not take."""

from __future__ import annotations

import subprocess

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given, settings
from hypothesis import strategies as st

from atu.entry.compose import compose_run
from atu.entry.overrides import complete, quoted_for_shell
from atu.errors import UserError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--seed 1", "There is no flag '--seed': write seed=1."),
        ("--seed=1", "There is no flag '--seed=1': write seed=1."),
        ("--seed", "There is no flag '--seed': write seed=VALUE."),
        ("--method unlearning_npo", "There is no flag '--method': write task=unlearning_npo."),
        ("--target", "--target needs the name of a concept behind it, such as --target Japan."),
        (
            "--unlearning-target=24_Beyoncé",
            "'--unlearning-target=24_Beyoncé': write unlearning_target=\"'24_Beyoncé'\".",
        ),
        ("--model ./a/b", "There is no flag '--model': write pre_trained_llm=./a/b."),
        ("--task.stop.retain_kl 3", "There is no flag '--task.stop.retain_kl': write task.stop.retain_kl=3."),
        ("--sed 1", "There is no flag '--sed'. Keys are written key=value. Did you mean seed=...?"),
        ("--multi", "There is no flag '--multi'. Did you mean '--multirun'?"),
        ("--cfg", "argument --cfg/-c: expected one argument. See --help."),
        ("--cfg wrong", "argument --cfg/-c: invalid choice: 'wrong' (choose from "),
        ("--cfg job -m", "--multirun and --cfg exclude each other: give one of them."),
        ("--resolve", "--resolve belongs to --cfg: write --cfg job --resolve."),
        ("--experimental-rerun x", "--experimental-rerun opens a pickle, which can run code: it is not supported."),
        ("Japan", "Cannot read 'Japan': write key=value, such as seed=1 or unlearning_target=Japan."),
        ("seed=a(b", "and quote a value with special characters twice, as in seed=\"'a(b'\"."),
        ("task.stages=[", "Cannot read 'task.stages=[': write key=value"),
        ("seed=1" + "0" * 5000, "Cannot read 'seed=1000"),
        ("seed=" + "[" * 3000, "Cannot read 'seed=[[["),
        ("exp=" + "a" * 10_000, "is longer than 10,000 characters"),
    ],
)
def test_what_cannot_be_read_is_answered_with_what_can(arguments: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        complete(arguments.split())
    assert message in str(caught.value)
    assert len(str(caught.value)) < 800


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0,$"), min_size=1, max_size=12).filter(
    lambda text: not (text[0] in "\"'[{" or text.isspace() or text.lower() in ("null", "none"))
)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(texts)
@example("24_Beyoncé")
@example("it's")
@example("Queen (band)")
@example("1984")
@example("1e3")
@example("true")
@example("a=b")
@example("a\\")
@example("a\\'")
@example("-5")
def test_a_text_need_not_be_quoted_for_hydra(text: str) -> None:
    argument = complete([f"exp={text}"])[0]
    assert OverridesParser.create().parse_override(argument).value() == text.strip(" \t")


def test_texts_reach_the_config_as_they_are() -> None:
    config = compose_run(
        ["unlearning_target=24_Beyoncé", "data=own", "data.neighbors=[Marie Curie,Zoë (b)]", "exp=2024"]
    )
    assert config.unlearning_target == "24_Beyoncé"
    assert config.data.neighbors == ("Marie Curie", "Zoë (b)")
    assert config.exp == "2024"


def test_several_texts_of_a_sweep_are_quoted_one_by_one() -> None:
    assert complete(["-m", "unlearning_target=24_Beyoncé,1_Stephen_King"])[1:] == [
        "unlearning_target='24_Beyoncé',1_Stephen_King"
    ]


@settings(deadline=None, max_examples=25, derandomize=True)
@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0$", exclude_categories=["Cc"]), min_size=1, max_size=9)
)
@example("10_Prince_Harry,_Duke_of_Sussex")
@example('it\'s, "so"!')
@example("`a`\\")
def test_a_hint_works_when_it_is_pasted(text: str) -> None:
    line = f"printf %s {quoted_for_shell('unlearning_target', text)}"
    pasted = subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout.decode()
    (argument,) = complete([pasted])
    assert OverridesParser.create().parse_override(argument).value() == text
