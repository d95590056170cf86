"""Quality of outputs: metrics and their confidence intervals."""
