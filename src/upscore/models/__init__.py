"""Networks: a batch of images (N, 3, H, W) -> class scores (N, C, H, W)."""
