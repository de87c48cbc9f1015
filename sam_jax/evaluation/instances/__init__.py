"""Instance segmentation from boxes and its average precision (SAM, section 7.4 and appendix D.4)."""
