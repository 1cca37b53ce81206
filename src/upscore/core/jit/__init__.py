"""Kernels compiled by numba: compilation, SIMD values and threads inside kernels."""
