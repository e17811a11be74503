"""The program's functions and the models that answer them."""
