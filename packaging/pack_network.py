"""Copy a trained network into the package, with its kernels in 8 bits.

    python packaging/pack_network.py RUN NAME CARD.md

RUN is a run folder of `upscore train`, CARD.md what the network is, on which data and terms it was
trained, its scores, and what it is not for.
"""

import shutil
import sys
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from upscore.core.model_folder import CONFIG, NETWORKS, WEIGHTS, find_model
from upscore.models.packed_weights import pack

run, name, card = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
folder = find_model(run)
target = NETWORKS / name
target.mkdir(parents=True, exist_ok=True)
with safe_open(folder / WEIGHTS, framework="pt") as file:
    metadata = file.metadata()
    state = pack({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118 (no mapping)
save_file(state, target / WEIGHTS, metadata=metadata)
shutil.copy(folder / CONFIG, target / CONFIG)
shutil.copy(card, target / "CARD.md")
print(f"{target}: {(target / WEIGHTS).stat().st_size / 2**20:.2f} MiB")
