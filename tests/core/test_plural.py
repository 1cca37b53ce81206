from __future__ import annotations

import pytest

from upscore.core.plural import file_size


@pytest.mark.parametrize(
    ("num", "text"),
    [(0, "0 bytes"), (1, "1 byte"), (1023, "1,023 bytes"), (1024, "1 KiB"), (104_857, "102 KiB"),
     (104_858, "0.1 MiB"), (1_572_864, "1.5 MiB"), (3 * 2**30, "3,072.0 MiB")],
)  # fmt: skip
def test_sizes_of_files(num: int, text: str) -> None:
    assert file_size(num) == text
