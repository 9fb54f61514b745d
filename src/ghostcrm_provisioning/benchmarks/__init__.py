"""What the product costs, measured beside what one could do without it."""
