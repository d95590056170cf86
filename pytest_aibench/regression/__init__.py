"""Whether a figure got worse: what a comparison may use, its statistics, and its verdict."""
