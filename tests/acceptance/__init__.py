"""The plugin as a user sees it: small projects, run from the command line to the record."""
