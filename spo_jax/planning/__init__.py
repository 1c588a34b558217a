"""Whether a run fits a slice that is not at hand: ahead-of-time compilation and its report."""
