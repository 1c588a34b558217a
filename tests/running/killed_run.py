"""Runs the tiny job of `test_train.py` in a process: killed_run.py RUN_DIR CHECKPOINT."""

import importlib.util
import sys
from pathlib import Path

if __name__ == "__main__":
    here = Path(__file__).parent
    spec = importlib.util.spec_from_file_location("test_train", here / "test_train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.tiny_run(*sys.argv[1:])
