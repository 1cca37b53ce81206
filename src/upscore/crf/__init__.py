"""Dense CRF: probabilities and an image give sharper probabilities (Kraehenbuehl, Koltun 2011)."""

from upscore.crf.mean_field import CRFResult, DenseCRF, Potts
from upscore.crf.settings import CRFSettings, crf_settings
from upscore.crf.terms import Bilateral, Features, Gaussian

__all__ = [
    "Bilateral",
    "CRFResult",
    "CRFSettings",
    "DenseCRF",
    "Features",
    "Gaussian",
    "Potts",
    "crf_settings",
]
