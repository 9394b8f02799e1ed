"""From responses, scores and log-probabilities to numbers, intervals and verdicts."""
