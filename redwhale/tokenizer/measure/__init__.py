"""What a tokenizer makes of text: sizes, use of the vocabulary, morphemes."""
