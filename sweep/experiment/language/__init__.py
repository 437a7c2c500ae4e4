"""What a command line says: its grammar, which is Hydra's but for ranges and refusals; its axes; its keys."""
