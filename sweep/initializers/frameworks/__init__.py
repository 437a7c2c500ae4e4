"""The schemes of torch, Keras and JAX, over the same core."""
