"""The commands; the only place that reads flags and the environment."""
