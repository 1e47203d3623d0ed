"""Files and numbers of a run: the run folder, metrics, terminal tables and the report page; never torch."""
