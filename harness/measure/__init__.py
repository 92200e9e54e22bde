"""What is measured and how: statistics, memory, and the machine it happens on."""
