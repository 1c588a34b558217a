"""CodeContests and TACO: their published rows as problems. TensorFlow stays in tasks_builders.py."""
