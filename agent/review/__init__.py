"""The review: what is wrong with a workspace, with evidence."""
