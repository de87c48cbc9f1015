"""Segmenting by clicks (SAM, section 7.1 and appendix D.1)."""
