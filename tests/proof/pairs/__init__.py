"""Two functions at once over the same instance, in every order of their calls up to a bound, and in orders by chance."""
