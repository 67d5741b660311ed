"""Speed against peers and against the machine's limits: `make bench`, or `python -m benchmarks.bench --help`."""
