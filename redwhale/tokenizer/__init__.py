"""The ``train-tokenizer`` step: learn Korean tokens and merge them into the base vocabulary."""
