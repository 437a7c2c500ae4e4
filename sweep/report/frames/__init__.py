"""Frame in, frame out: labels, means over seeds, fates, what goes where on a figure."""
