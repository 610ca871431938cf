"""Small files that processes share: how they are locked, how they are written. What is in them belongs to others."""
