"""``aibench doctor``: the load generator's own noise here, and what could disturb a measurement."""
