"""The output of kcd-gen on a real API server and Flux's controllers; README.md describes how to run it."""
