"""Speed of the losses; run with ``make bench`` or ``python -m benchmarks``."""
