"""One function per verb: paths and settings in, a result object out, progress by callback."""
