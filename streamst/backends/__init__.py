"""Other people's models behind the seams of `models/seam.py`."""
