"""Object proposals and their average recall (SAM, section 7.3 and appendix D.3)."""
