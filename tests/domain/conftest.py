from hypothesis import settings

# How long an example takes says more about what else the machine does than about a rule.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
