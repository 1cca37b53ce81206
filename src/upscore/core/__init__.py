"""What every room shares: label sets, images on disk, files, run folders, the machine."""
