"""Chromium without a network, what answers its requests, and checks run in its pages."""
