"""One function a command: paths and settings in, a result object out, progress by callback."""
