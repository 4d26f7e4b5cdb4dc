"""Logs of other tools, read and written: SimulEval, simulstream, OmniSTEval. Import from the module of a format."""
