"""Numbers of things, and sizes of files, in messages."""


def plural(num: int, noun: str) -> str:
    """``1 image``, ``3 images`` or ``1,464 images``."""
    return f"{num:,} {noun}" if num == 1 else f"{num:,} {noun}s"


def file_size(num_bytes: int) -> str:
    """``1.2 MiB``, below 0.1 MiB in whole KiB, below one KiB in bytes.

    Example:
        >>> file_size(40_000)
        '39 KiB'
    """
    if num_bytes < 1024:
        return plural(num_bytes, "byte")
    if num_bytes < 0.1 * 2**20:
        return f"{num_bytes / 2**10:.0f} KiB"
    return f"{num_bytes / 2**20:,.1f} MiB"
