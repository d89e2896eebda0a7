"""The claims of the papers: what was predicted, what is measured, and the verdict."""
