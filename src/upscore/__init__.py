"""Semantic segmentation with FCN and its decoders: ``upscore.load("RUN").segment("photo.jpg")``."""

TYPE_CHECKING = False  # type checkers know the name; importing typing would cost 10 ms

if TYPE_CHECKING:
    from upscore.inference.api import load as load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> object:
    """``load`` brings torch, so it is imported when it is first asked for."""
    if name == "load":
        from upscore.inference.api import load

        return load
    raise AttributeError(f"module 'upscore' has no attribute {name!r}")
