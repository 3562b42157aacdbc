"""The demo: `rounds` asks for a site, `evaluator` takes the call back and looks, `grading` judges, `results` compares.

`venue` sets everything up on this machine, `demo` runs and shows it. Nothing here knows our review: the evaluator has
eyes of its own.
"""
