"""Every format has one reader, in which all damage becomes one error: nobody else parses files."""

from __future__ import annotations

import re
import tokenize
from pathlib import Path

import pytest

import upscore

SOURCE = Path(upscore.__file__).parent

READERS = {
    r"yaml\.(safe_)?load\(|yaml\.parse\(": {"core/yaml_text.py"},
    r"json\.loads?\(": {
        "core/json.py",
        "models/checkpoint.py",  # options that it wrote a moment before
        "proposals/store.py",  # the same of settings
        "workflows/sweep.py",  # lines of its own processes
    },
    r"np\.(load|genfromtxt|loadtxt)\(": {
        "workflows/prediction_cache.py",  # files of its own, removed at its end
    },
    r"read_array\(|read_magic\(": {"core/arrays.py"},
    r"torch\.load\(|safe_open\(|load_file\(": {"core/tensor_files.py"},
    r"pickle\.loads?\(|Unpickler": set(),
    r"loadmat|h5py\.File\(": {"models/keras_files.py"},
    r"mmap\.mmap\(": {"models/caffe_files.py", "proposals/store.py"},
    r"csv\.(reader|DictReader)\(": {
        "core/tables.py",
        "data/class_tables.py",  # lines that data/lists.py read
        "reproduce/published.py",  # a table of this package
    },
    r"pq\.ParquetFile\($|pq\.read_table\(": {"proposals/store.py"},
    r"ZipFile\(": {"core/arrays.py", "core/tensor_files.py", "data/download.py"},
    r"tarfile\.open\(": {"data/download.py"},
}


@pytest.mark.parametrize("call", READERS)
def test_nobody_else_parses_files(call: str) -> None:
    found = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if re.search(call, _code(path), re.MULTILINE)
    }
    assert found == READERS[call]


def _code(path: Path) -> str:
    """The file without its texts: messages say what to type, which reads nothing here."""
    lines = path.read_text("utf-8").split("\n")
    with path.open("rb") as file:
        texts = [
            t for t in tokenize.tokenize(file.readline) if "STRING" in tokenize.tok_name[t.type]
        ]
    for token in reversed(texts):
        (first, start), (last, end) = token.start, token.end
        lines[first - 1 : last] = [lines[first - 1][:start] + lines[last - 1][end:]]
    return "\n".join(lines)
