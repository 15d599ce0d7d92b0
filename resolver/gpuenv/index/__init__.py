"""Where wheels are listed, and what they contain: over HTTP with a cache, or from folders."""
