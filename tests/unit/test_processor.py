"""What the engine's libraries are told of the processor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from megdump_ci import processor

AMD = "vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nflags\t\t: fpu sse avx avx2 fma\n"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    processor._facts.cache_clear()
    yield
    processor._facts.cache_clear()


def told(monkeypatch: pytest.MonkeyPatch, text: str) -> dict[str, str]:
    monkeypatch.setattr(Path, "read_text", lambda _: text)
    return processor.environment()


def test_avx2_of_another_maker_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, AMD) == {"MKL_DEBUG_CPU_TYPE": "5"}
    assert processor.name() == "AMD EPYC"


@pytest.mark.parametrize(
    "text",
    [
        AMD.replace("AuthenticAMD", "GenuineIntel"),
        AMD.replace("avx2 ", ""),
        AMD.replace(" fma", ""),
        "Features\t: fp asimd\n",
        # The second core is not looked at: the first says it.
        AMD.replace("avx2 fma", "") + "\n" + AMD,
    ],
    ids=["Intel", "no AVX2", "no FMA", "ARM", "another core"],
)
def test_other_processors_are_left_to_the_library(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    assert told(monkeypatch, text) == {}


def test_a_system_without_the_file_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert processor.name()
    assert processor.environment() == {}
