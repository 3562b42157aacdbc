"""The demo: `rounds` asks for a site, `evaluator` takes the call back and visits it, `grading` and `results` judge.

`harness` starts everything on this machine, `demo` runs and shows it. The evaluator shares no code with our review.
"""
