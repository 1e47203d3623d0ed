"""From a command line to a checked config, and from a fault to one line."""
