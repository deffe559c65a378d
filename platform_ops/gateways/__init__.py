"""The outside world, as platform operations meets it: files and trading servers."""
