"""The running page: the evaluators' checks, what is wrong on any page, and acceptance tests with a visitor's steps."""
