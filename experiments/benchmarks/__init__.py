"""Speed and memory of jaxdrop, beside the libraries a user would otherwise pick."""
