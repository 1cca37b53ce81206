"""Kernels compiled by numba: compilation, SIMD values and threads inside kernels.

Importing any module of this package raises MissingExtraError where numba is not installed.
"""

from upscore.core.extras import require_extras

require_extras("this part of upscore", "crf")
