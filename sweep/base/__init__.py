"""What every stage stands on: errors, checks, users' code, interrupts, provenance, a command's frame."""
