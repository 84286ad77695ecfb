"""The report: a documented result in, one self-contained HTML page out.

Numbers are made elsewhere; here they are only described, worded and drawn.
"""
