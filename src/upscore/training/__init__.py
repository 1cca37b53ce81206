"""Recipe -> crops -> loss -> optimiser -> run folder."""
