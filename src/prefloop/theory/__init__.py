"""The exact lab: finite worlds in which optimum, regret, KL and Nash point are known."""
