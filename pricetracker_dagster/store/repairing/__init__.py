"""A damaged data folder made whole again: what is wrong is listed, and mended without losing a row that can be read."""
