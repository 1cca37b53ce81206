"""Work in several threads or processes: prefetching, worker processes, background writing."""
