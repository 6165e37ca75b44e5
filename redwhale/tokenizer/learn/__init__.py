"""Learn new pieces from the corpus: a sample of words, and the methods that join them."""
