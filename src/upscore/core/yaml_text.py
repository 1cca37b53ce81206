"""YAML of any origin: the one reader, strict, and limited before work is done."""

from __future__ import annotations

import re
from typing import Any

import yaml

from upscore.core.failures import first_line
from upscore.core.quoting import quote, shorten
from upscore.errors import SettingsError

try:
    from yaml import CSafeLoader as SafeLoader  # ten times as fast
except ImportError:  # a PyYAML without libyaml
    from yaml import SafeLoader  # type: ignore[assignment]

LONGEST_FILE = 1_000_000
"""Bytes."""
DEEPEST = 40
"""Lists and mappings inside each other."""
MOST_VALUES = 200_000
"""Values, with those that aliases (``*name``) repeat; a table of 65,536 mask values fits."""
LARGEST_BITS = 1000
"""Of a whole number; larger ones are no floating point numbers."""


class _Loader(SafeLoader):
    """Safe YAML that refuses a key given twice, and names the line of every bad value."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep=deep)
        except yaml.YAMLError:
            raise
        except Exception as error:  # a date such as 2026-13-45, !!bool x, a number of 5,000 digits
            tag = str(node.tag).removeprefix("tag:yaml.org,2002:")
            kind = "date" if tag == "timestamp" else shorten(tag)
            raise _problem(
                f"{quote(node.value, 60)} is no {kind}; put text in quotes", node
            ) from error
        if isinstance(value, int) and value.bit_length() > LARGEST_BITS:
            raise _problem(f"{quote(value)}", node)
        return value

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key_node, yaml.ScalarNode):
                is_merge = key_node.value == "<<"
                key = "<<" if is_merge else self.construct_object(key_node)
                if key in seen:
                    raise _problem(f"key {quote(key_node.value)} is given twice", key_node)
                seen.add(key)
        return super().construct_mapping(node, deep=deep)


class _ValueLoader(_Loader):
    """The same, and ``1e-5`` is a number, which YAML 1.1 takes for text."""


_ValueLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)[eE][-+]?\d{1,3}$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str, source: str, *, exponents: bool = False) -> Any:
    """The value of a YAML text.

    Args:
        source: what an error names.
        exponents: whether ``1e-5`` is a number.

    Raises:
        SettingsError: whatever is wrong with the text; with the line where it is known.
    """
    if len(text) > LONGEST_FILE:
        raise SettingsError(f"{source}: over {LONGEST_FILE / 1e6:g} MB, too long for settings")
    loader = _ValueLoader if exponents else _Loader
    try:
        _check_size(text, loader)
        return yaml.load(text, Loader=loader)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        # an unclosed bracket is noticed behind the last line
        line = f", line {min(mark.line + 1, len(text.splitlines()))}" if mark else ""
        problem = shorten(str(getattr(error, "problem", None) or first_line(error)))
        raise SettingsError(f"{source}{line}: not valid YAML: {problem}") from error


def _check_size(text: str, loader: type[SafeLoader]) -> None:
    """Refuse what is too deep or too many, from its tokens alone."""
    sizes: dict[str, int] = {}  # values below each anchor (&name)
    open_: list[tuple[str | None, int]] = [(None, 0)]  # anchor and values so far, outermost first
    for event in yaml.parse(text, Loader=loader):
        anchor = getattr(event, "anchor", None)
        size = 0
        if isinstance(event, yaml.AliasEvent):
            size = sizes.get(str(anchor), 1)  # an unknown one is refused when it is looked up
            if any(anchor == name for name, _ in open_):
                raise _problem(f"*{anchor} stands for a list that it is in", event)
        elif isinstance(event, yaml.ScalarEvent):
            size = 1
            if anchor:
                sizes[str(anchor)] = size
        elif isinstance(event, yaml.CollectionStartEvent):
            open_.append((anchor, 1))
            if len(open_) > DEEPEST:
                raise _problem(f"more than {DEEPEST} lists and mappings inside each other", event)
        elif isinstance(event, yaml.CollectionEndEvent):
            name, size = open_.pop()
            if name:
                sizes[name] = size
        if size:
            outer, so_far = open_.pop()
            open_.append((outer, so_far + size))
            if so_far + size > MOST_VALUES:
                raise _problem(f"more than {MOST_VALUES} values, those of aliases counted", event)


def _problem(text: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=text, problem_mark=place.start_mark)
