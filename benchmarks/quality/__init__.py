"""Compare losses on real imbalanced data. Run with ``python -m benchmarks.quality``."""
