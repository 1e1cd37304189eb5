"""What all tests share: property tests have no time limit of their own, for a busy machine is no fault.

They take the same examples every time, so that the tests of one commit always say the same; `make test-long` lets them
look elsewhere.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("searching", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeating", settings.get_profile("searching"), derandomize=True)
settings.load_profile("repeating")
