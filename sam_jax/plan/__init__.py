"""What a run needs and costs on machines that are not here, before anything is paid for them."""
