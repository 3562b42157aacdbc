"""Acceptance tests of files: by their content, and by Python in the sandbox."""
