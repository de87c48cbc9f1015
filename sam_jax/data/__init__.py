"""From files to what training and inference take: photos and masks read, framed and normalised."""
