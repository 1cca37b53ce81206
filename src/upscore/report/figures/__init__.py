"""Figures by matplotlib's object interface.

Importing any module of this package raises MissingExtraError where matplotlib is not installed.
"""

from upscore.core.extras import require_extras

require_extras("drawing figures", "report")
