"""Load generation: scenarios as MLPerf LoadGen plays them, statistics, and the official oracle."""
