"""HTTP for evaluators, pages for people."""
