"""Files that processes share: locked, written as a whole, told apart by name. What is in them belongs to others."""
