"""Numbers of things in messages."""


def plural(num: int, noun: str) -> str:
    """``1 image``, ``3 images`` or ``1,464 images``."""
    return f"{num:,} {noun}" if num == 1 else f"{num:,} {noun}s"
