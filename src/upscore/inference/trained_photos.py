"""How the photos of a run's training became 8-bit RGB, which holds for photos to label too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from upscore.core.model_folder import CONFIG, find_model, included, is_pipeline
from upscore.core.photo_values import AS_STORED, PhotoValues
from upscore.errors import RunError, SettingsError
from upscore.inference.pipeline.settings import read_pipeline
from upscore.models.checkpoint import photos_from_config, read_config


def trained_photos(path: Path, stages: Sequence[str] = ()) -> PhotoValues:
    """For a run folder, a model folder, a network's name or a pipeline file.

    Args:
        stages: of a pipeline, those that are used; none for its answer.

    Raises:
        SettingsError: networks of a pipeline that were trained on different values.
        UpscoreError: whatever cannot be loaded.
    """
    if not is_pipeline(path):
        folder = find_model(path)
        try:
            return photos_from_config(read_config(folder))
        except (TypeError, ValueError, AttributeError) as error:
            raise RunError(
                f"{folder / CONFIG}: damaged, photos cannot be read ({error})"
            ) from error
    settings = read_pipeline(path)
    used = [settings.stages[name].run for name in settings.order(stages or [settings.output])]
    place = path.parent
    found = {
        run: trained_photos(included(run, place=place) or place / run)
        for run in used
        if run is not None
    }
    if len(set(found.values())) > 1:
        each = "; ".join(f"{run}: {photos.to_json() or '8 bits'}" for run, photos in found.items())
        raise SettingsError(
            f"{path}: its networks were trained on photos with other ranges or bands ({each}); "
            "train them with the same range and bands in a dataset.yaml"
        )
    return next(iter(found.values()), AS_STORED)
