"""The project's benchmarks of itself; each script exits 0 only when all of its goals are met."""
