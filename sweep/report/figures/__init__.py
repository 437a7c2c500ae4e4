"""One figure a module: a frame in, a picture out."""
