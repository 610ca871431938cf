"""What holds for this process as a whole: which secrets it knows and that none of them leaves it, proxies, its end."""
