"""From answers to weights: collating, micro-batches, the optimizer step and the learner."""
