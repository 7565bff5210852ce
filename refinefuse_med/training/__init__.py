"""Training RefineFuse: data, recipe, loop."""
