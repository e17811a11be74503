"""A small household world that renders videos and writes STAR-format annotation."""
