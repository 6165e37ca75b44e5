"""``redwhale doctor``: look at the machine before a week is spent on it."""
