"""Many runs with one command: planned, launched, watched and summed up, here or on a cluster."""
