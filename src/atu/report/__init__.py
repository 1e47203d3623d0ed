"""What people look at: pages, tables, figures and statistics of many runs. Nothing below imports it."""
