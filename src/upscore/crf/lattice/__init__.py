"""The permutohedral lattice: construction, filtering, mean field steps."""
