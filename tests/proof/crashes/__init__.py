"""Every call after which a function may die, tried: what is left is finished by the others, to the same end."""
