"""The inputs of networks: draws of several laws, images, rows of files; and what theory needs of them."""
