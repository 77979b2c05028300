"""The licence list of the image, made of packages that stand for those of the lock."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
LICENCES = runpy.run_path(str(ROOT / "image" / "licences.py"))


def install(folder: Path, name: str, metadata: str, **files: str) -> None:
    """A package with these files beside its metadata (dots are underscores in their names)."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    text = f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{metadata}"
    contents = {"METADATA": text, **{key.replace("_", "."): files[key] for key in files}}
    for file, content in contents.items():
        (info / file).write_text(content)
    recorded = [f"{info.name}/{file},," for file in [*contents, "gone/LICENSE"]]
    (info / "RECORD").write_text("\n".join(recorded))


def made(*folders: Path) -> Any:
    return LICENCES["document"](LICENCES["packages"](map(str, folders)))


def test_each_package_has_its_licence_and_its_texts(tmp_path: Path) -> None:
    install(tmp_path, "b_two", "License-Expression: MIT", LICENSE="The words", NOTICE_md="Made by")
    install(
        tmp_path, "A.one", "License: UNKNOWN\nClassifier: License :: OSI Approved :: BSD License",
        COPYING="Other words", licence_py="code",
    )  # fmt: skip
    install(tmp_path / "other", "c", "", LICENCE_txt="The words")
    text = made(tmp_path, tmp_path / "other")
    assert text.index("A.one 1.0: BSD License\n") < text.index("b_two 1.0: MIT\n")
    assert "c 1.0: see its text\n" in text
    for words in ("Other words", "Made by"):
        assert words in text
    assert text.count("The words") == 1
    assert "The same text as that of b_two 1.0: b_two-1.0.dist-info/LICENSE" in text
    assert "code" not in text
    assert text == made(tmp_path, tmp_path / "other")


def test_a_package_without_a_text_ends_the_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, "silent", "License: MIT")
    assert LICENCES["main"]([str(tmp_path)]) == 1
    assert "no licence text in silent" in capsys.readouterr().err


def test_a_text_may_be_elsewhere_in_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "words"
    place.write_text("Words of elsewhere")
    monkeypatch.setitem(LICENCES["_ELSEWHERE"], "a-package", place)
    install(tmp_path, "A_package", "")
    assert "Words of elsewhere" in made(tmp_path)


def test_what_is_inside_binaries_is_about_packages_of_the_lock() -> None:
    lock = (ROOT / "requirements" / "run.txt").read_text()
    for name in [*LICENCES["_INSIDE"], *LICENCES["_ELSEWHERE"]]:
        assert f"\n{name}==" in lock
