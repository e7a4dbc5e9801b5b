"""Comparing losses on a data set: tables, pictures, the demo."""
