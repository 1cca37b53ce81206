"""OpenCV itself, which the peers need (extra ``opencv``)."""

from __future__ import annotations

from typing import Any

from upscore.core.extras import install_command, missing_extra
from upscore.errors import MissingExtraError


def require_opencv() -> Any:
    """The module cv2, with the extra modules of opencv-contrib.

    Raises:
        MissingExtraError: it is not installed, or is a build without them.
    """
    try:
        import cv2
    except ImportError as error:
        raise missing_extra("OpenCV's part of this comparison", "opencv") from error
    if not hasattr(cv2, "ximgproc"):
        raise MissingExtraError(
            "this needs OpenCV's extra modules (cv2.ximgproc), which the installed OpenCV lacks; "
            "run: pip uninstall opencv-python opencv-python-headless, then: "
            f"{install_command('opencv')}"
        )
    return cv2
