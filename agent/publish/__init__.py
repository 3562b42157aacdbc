"""Publishing: `git` commits, a publisher (such as `local`) shows the commit to the world, `publisher` orders it."""
