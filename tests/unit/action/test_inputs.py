from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.action import inputs
from megdump_ci.action.options import ActionOptions
from megdump_ci.errors import InputError
from megdump_ci.gates import Limits
from megdump_ci.options import PackOptions

_LEAST = {"INPUT_MODEL": "model.mge", "INPUT_DATA": "#rand(0,1)", "INPUT_OUTPUT": "out.mge"}
_BOOLEANS = {"true", "True", "TRUE", "false", "False", "FALSE"}
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def _problems(environ: dict[str, str]) -> list[str]:
    with pytest.raises(InputError) as caught:
        inputs.read(environ)
    return [problem.message for problem in caught.value.problems]


def test_the_least_gives_the_defaults_of_the_action() -> None:
    given = inputs.read(_LEAST)
    expected = PackOptions(
        model="model.mge",
        data=("#rand(0,1)",),
        output="out.mge",
        output_strip_info=True,
        report="megdump-ci-report",
    )
    assert given == inputs.Inputs(pack=expected, action=ActionOptions())


@pytest.mark.parametrize("spec", inputs.action_specs(), ids=lambda spec: spec.name)
def test_every_input_arrives_under_both_its_names(spec: Any) -> None:
    text, value = {
        bool: ("TRUE", True),
        int: ("3", 3),
        float: ("2.5", 2.5),
        str: ("a b", "a b"),
        Limits: ("0.25\n a = b =1", Limits(0.25, {"a = b": 1.0})),
    }[spec.kind]
    if spec.choices:
        text = value = spec.choices[0]
    if spec.field == "memory_limit":
        text = value = "1.5G"
    extra = {"INPUT_OPTIMIZE-FOR-INFERENCE": "true"} if spec.name.startswith("enable") else {}
    least = {} if spec.name == "entry" else _LEAST
    for name in (spec.name.upper(), spec.name.upper().replace("-", "_")):
        given = inputs.read({**least, **extra, f"INPUT_{name}": f"\t{text} \n"})
        options = {**vars(given.pack), **vars(given.action)}
        assert options[spec.field] == ((value,) if spec.many and text == value else value)


@pytest.mark.parametrize("spec", inputs.action_specs(), ids=lambda spec: spec.name)
def test_an_empty_input_is_its_default(spec: Any) -> None:
    if spec.required:
        assert _problems({**_LEAST, f"INPUT_{spec.name.upper()}": "  "})
    else:
        assert inputs.read({**_LEAST, f"INPUT_{spec.name.upper()}": " \n"}) == inputs.read(_LEAST)


@given(text=texts | st.sampled_from(["yes", "1", "on", "tRue", *_BOOLEANS]))
def test_a_boolean_is_one_of_six_words(text: str) -> None:
    environ = {**_LEAST, "INPUT_RESIZE-INPUT": text}
    word = text.strip()
    if word in _BOOLEANS:
        assert inputs.read(environ).pack.resize_input is (word.lower() == "true")
    elif word:
        assert f"resize-input is '{word}'" in _problems(environ)[0]
    else:
        assert inputs.read(environ).pack.resize_input is False


@given(number=st.integers(0, 10**30 - 1) | st.floats(1e-9, 1e9))
def test_numbers_arrive(number: float) -> None:
    name = "seed" if isinstance(number, int) else "timeout"
    options = inputs.read({**_LEAST, f"INPUT_{name.upper()}": repr(number)}).pack
    assert getattr(options, name) == number


@pytest.mark.parametrize("text", ["1_0", "\u0661", "1.5", "0x10", "one", "1 2"])
def test_what_is_no_whole_number_is_refused_with_its_name_and_value(text: str) -> None:
    assert _problems({**_LEAST, "INPUT_REPEAT": text})[0].startswith(f"input repeat is '{text}'")


def test_a_number_of_any_length_is_refused() -> None:
    for name in ("repeat", "jobs", "threads"):
        for text in ("9" * 31, "9" * 5000):
            (said,) = _problems({**_LEAST, f"INPUT_{name.upper()}": text})
            assert said.startswith(f"input {name} is '999")
            assert "too large" in said
            assert len(said) < 200


@pytest.mark.parametrize("text", ["1_0.0", "\u0661", "1e-4x", "small", "1,5"])
def test_what_is_no_number_is_refused_with_its_name_and_value(text: str) -> None:
    found = _problems({**_LEAST, "INPUT_TIMEOUT": text, "INPUT_MAXERR": f"a=1\n{text}"})
    assert f"maxerr: '{text}' is no limit" in found
    assert any(message.startswith(f"input timeout is '{text}'") for message in found)


def test_data_is_one_testcase_a_line() -> None:
    data = " a.png \r\n\n\tx:b.npy;y:#rand(0,1) \n"
    options = inputs.read({**_LEAST, "INPUT_DATA": data}).pack
    assert options.data == ("a.png", "x:b.npy;y:#rand(0,1)")


def test_all_that_is_wrong_is_reported_together() -> None:
    found = _problems(
        {"INPUT_OUTPUT": "out", "INPUT_REPEAT": "x", "INPUT_SEED": "-1", "INPUT_SILENT": "yes"}
    )
    named = ("repeat", "silent", "model", "data", "seed")
    assert len(found) == len(named)
    for name in named:
        assert any(name in message for message in found), name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("upload", "True"),
        ("upload", "always"),
        ("artifact-name", "a/b"),
        ("artifact-name", "a\nb"),
        ("artifact-name", ".."),
        ("artifact-retention-days", "-1"),
        ("artifact-retention-days", "3651"),
        ("artifact-retention-days", "1.5"),
    ],
)
def test_what_no_artifact_can_be_is_refused_before_anything_runs(name: str, value: str) -> None:
    (message,) = _problems({**_LEAST, f"INPUT_{name.upper()}": value})
    assert f"{name} is '{value}'" in message or f"{name} is {value}" in message


def test_a_wrong_boolean_is_not_answered_with_its_consequences() -> None:
    environ = {"INPUT_OPTIMIZE-FOR-INFERENCE": "yes", "INPUT_ENABLE-NCHW44": "true"}
    assert len(_problems({**_LEAST, **environ})) == 1


def test_two_values_of_one_input_are_refused() -> None:
    environ = {"INPUT_NO-ASSERT": "true", "INPUT_NO_ASSERT": "false"}
    assert "given twice" in _problems({**_LEAST, **environ})[0]
    environ = {"INPUT_NO-ASSERT": "", "INPUT_NO_ASSERT": "true"}
    assert inputs.read({**_LEAST, **environ}).pack.no_assert


def test_bytes_that_are_no_text_are_refused() -> None:
    assert _problems({**_LEAST, "INPUT_MODEL": "a\udcff"})[0] == "input model is not UTF-8"


def test_an_unknown_input_is_answered_with_the_one_that_was_meant() -> None:
    environ = {**_LEAST, "INPUT_MAX-ERR": "1", "INPUT_ZZZ": "", "PATH": "", "INPUTS": ""}
    assert inputs.unknown(environ) == [
        "there is no input 'max-err': did you mean 'maxerr'?",
        "there is no input 'zzz': it has no effect",
    ]
    assert inputs.unknown(_LEAST) == []
