"""What each loss is worth on real imbalanced data; run with ``python -m benchmarks.quality``."""
