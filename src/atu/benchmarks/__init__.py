"""Who judges: probes of a benchmark, and the corpora that go with it."""
