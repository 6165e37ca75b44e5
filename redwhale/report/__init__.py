"""``redwhale report``: what a recipe's results came to, as one HTML file."""
