"""The worker: owns partitions, runs programs over the calls in them, settles what comes out."""
