"""What things cost, as ratios of two measurements taken side by side in one run. ``make bench`` runs them all."""
