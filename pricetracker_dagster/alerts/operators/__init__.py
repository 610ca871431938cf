"""What people tell the alarms: silences and acknowledgements, how they are written down and what they cover."""
