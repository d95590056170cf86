"""The benchmark suite: AIBench's components, each trained to a target and served under load."""
