"""Networks: a batch of images (N, 3, H, W) becomes class scores (N, C, H, W)."""
