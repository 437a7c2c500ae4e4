"""What every stage stands on: errors, checks, a user's own code, interrupts, provenance, a command's frame."""
