"""Records, journal, STAR's graphs and vocabulary, and every view and export."""
