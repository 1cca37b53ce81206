"""Types of what JSON can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

JSON = str | int | float | bool | None | Sequence["JSON"] | Mapping[str, "JSON"]
"""Any JSON value."""

JSONObject = dict[str, JSON]
"""A JSON object; for sources of proposals and edges: name (``kind``) and every parameter."""
