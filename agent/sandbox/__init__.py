"""Run an untrusted program in a fresh child process until it returns or needs an answer."""
