"""MATLAB files (.mat) read through scipy, with errors that name the file."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

from upscore.errors import DataError, NotFoundError


def read_mat(path: Path, name: str, **options: Any) -> Any:
    """The variable ``name`` of a MATLAB file up to version 7, or None if the file lacks it.

    Args:
        options: of ``scipy.io.loadmat``, as ``squeeze_me=True``.

    Raises:
        NotFoundError: no such file.
        DataError: damaged, of version 7.3, or not a MATLAB file.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if not path.exists():
        raise NotFoundError(f"{path}: no such file")
    try:
        return loadmat(str(path), variable_names=[name], **options).get(name)
    except NotImplementedError as error:
        raise DataError(
            f"{path}: a MATLAB file of version 7.3; save it with save(..., '-v7') instead"
        ) from error
    except (MatReadError, ValueError, TypeError, OSError, IndexError, zlib.error) as error:
        raise DataError(
            f"{path}: is not a MATLAB file that can be read ({error}); replace or remove it"
        ) from error
