"""Runs in a directory of their own, and a backend that keeps them and gives trouble on orders."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "multitrack",
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("multitrack")
