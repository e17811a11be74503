"""Templates and worked example programs."""
