"""What failures mean, what is an incident, and how people are told."""
