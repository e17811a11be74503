"""The small models that come with aotd: their training on the household world, and their quality."""
