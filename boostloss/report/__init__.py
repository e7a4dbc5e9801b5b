"""Compare losses on a data set: cross-validation, metrics, a report."""
