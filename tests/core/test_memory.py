from __future__ import annotations

import os
import platform
import sys

import pytest

from new_process import run_python
from upscore.core import memory

SHOW = (
    "import os; from upscore.core.memory import limit_onednn_cache; limit_onednn_cache(); "
    "print(os.environ.get('ONEDNN_PRIMITIVE_CACHE_CAPACITY'), os.environ.get('LRU_CACHE_CAPACITY'))"
)


def test_set_before_torch():
    assert run_python(SHOW) == "256 256"


def test_the_users_setting_is_kept():
    assert run_python(SHOW, LRU_CACHE_CAPACITY="9") == "256 9"


def test_too_late_after_torch():
    """It would do nothing, so nothing is changed."""
    assert run_python("import sys; sys.modules['torch'] = sys; " + SHOW) == "None None"


KEEP = "from upscore.core.memory import tune_malloc; print(tune_malloc())"


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc",
    reason="glibc's allocator alone is set",
)
def test_large_blocks_are_reused():
    faults = (
        "import resource, ctypes; "
        "libc = ctypes.CDLL(None); libc.malloc.restype = ctypes.c_void_p; "
        "use = lambda: (p := libc.malloc(2**28), ctypes.memset(p, 1, 2**28), "
        "libc.free(ctypes.c_void_p(p))); "
        "use(); use(); before = resource.getrusage(0).ru_minflt; use(); "
        "print(resource.getrusage(0).ru_minflt - before)"
    )
    default = int(run_python(faults))
    done, kept = run_python(KEEP + "; " + faults).split()
    assert done == "True"
    assert int(kept) < 100 < default


def test_the_users_allocator_settings_are_kept():
    assert run_python(KEEP, MALLOC_ARENA_MAX="2") == "False"
    assert run_python(KEEP, GLIBC_TUNABLES="glibc.malloc.hugetlb=1") == "False"


def test_other_systems_are_left_alone():
    assert run_python("import sys; sys.platform = 'darwin'; " + KEEP) == "False"


def test_physical_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    there = memory.physical_memory()
    assert there is None or there > 2**28
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert memory.physical_memory() is None
