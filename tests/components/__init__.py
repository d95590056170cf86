"""The components of the suite."""
