from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.errors import InputError
from megdump_ci.testcase import listfile
from megdump_ci.testcase.grammar import is_random

PATHS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), min_size=1
).filter(lambda text: text.strip() == text and text[0] not in "#\ufeff")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lists") / "list.txt"


@given(
    st.lists(PATHS | st.just("#rand(0,1)") | st.just("# note") | st.just("")),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.sampled_from(["", " ", "\t "]),
)
def test_the_lines_of_a_list(
    path: Path, lines: list[str], end: str, mark: bytes, blank: str
) -> None:
    path.write_bytes(mark + "".join(blank + line + blank + end for line in lines).encode())
    wanted = [
        (number, line)
        for number, line in enumerate(lines, 1)
        if line and (line[0] != "#" or is_random(line))
    ]
    if wanted:
        assert listfile.read_lines(str(path)) == wanted
    else:
        with pytest.raises(InputError, match="holds no testcase"):
            listfile.read_lines(str(path))


def test_a_damaged_random_line_is_no_comment(path: Path) -> None:
    path.write_text("#rand(0,1\n#RAND (0)\n#random values follow\n# rand(0,1) was too small\n")
    assert [number for number, _ in listfile.read_lines(str(path))] == [1, 2]


def test_what_is_no_list(tmp_path: Path, path: Path) -> None:
    path.write_bytes(b"a.png\nb.png\n\xff\xfe\n")
    with pytest.raises(InputError, match=r"not UTF-8 text \(line 3\)"):
        listfile.read_lines(str(path))
    with pytest.raises(InputError, match="is a folder"):
        listfile.read_lines(str(tmp_path))
    with pytest.raises(InputError, match=r"missing\.txt cannot be read"):
        listfile.read_lines(str(tmp_path / "missing.txt"))
    with pytest.raises(InputError, match="is not a regular file"):
        listfile.read_lines("/dev/zero")
    with path.open("wb") as file:
        file.truncate((16 << 20) + 1)
    with pytest.raises(InputError, match="more than 16 MiB"):
        listfile.read_lines(str(path))
    with pytest.raises(InputError, match="names no list"):
        listfile.read_lines("")
