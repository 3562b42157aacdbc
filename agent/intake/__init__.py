"""A request becomes a task: what must be right, and what is read leniently."""
