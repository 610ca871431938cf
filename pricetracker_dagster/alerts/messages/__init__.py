"""Messages about alerts and incidents: which, for whom, in which words; recorded before anything is sent."""
