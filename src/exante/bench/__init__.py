"""exante beside its peers: fresh processes, equal work, interleaved, checked before it is timed."""
