"""Python scripts where they can do no harm: `sandbox` runs one between the walls of `jail`, `seccomp` refuses calls."""
