"""The doors: HTTP for evaluators, pages for people."""
