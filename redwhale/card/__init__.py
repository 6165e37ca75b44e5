"""The model card beside a stage's exported weights."""
