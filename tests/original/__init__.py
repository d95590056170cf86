"""Loaders of original data sets, on small files in the same layout, and full tasks on them."""
