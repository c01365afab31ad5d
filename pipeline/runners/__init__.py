"""Where a Beam graph runs: the choice of runner, and the processes it needs."""
