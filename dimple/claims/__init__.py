"""The claims of the papers: what was predicted, what is measured, and the verdict."""

from dimple.claims.catalogue import Leaf, Paper, load_papers
from dimple.claims.page import write_claims_page
from dimple.claims.runner import JudgedClaims, run_claims

__all__ = ["JudgedClaims", "Leaf", "Paper", "load_papers", "run_claims", "write_claims_page"]
