"""What is wrong on any site, found by reading it: rules, parsers, secrets."""
