"""The judges of edits, judged themselves on faces whose attributes are known."""
