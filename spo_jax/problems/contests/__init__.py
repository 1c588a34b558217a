"""CodeContests and TACO: their published rows as problems. Nothing here imports TensorFlow."""
