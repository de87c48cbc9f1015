"""Finding edges and measuring them as the Berkeley benchmark does (SAM, section 7.2 and appendix D.2)."""
