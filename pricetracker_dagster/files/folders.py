"""Files and folders by their names: whether two names mean the same place."""

from pathlib import Path


def is_same_folder(one: Path | str, other: Path | str) -> bool:
    """Say whether two paths lead to the same folder, by whichever links. One that is not there is no other's."""
    return Path(one).resolve() == Path(other).resolve()
