"""One run of a task, from the queue to the notification."""
