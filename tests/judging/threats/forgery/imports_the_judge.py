# /// judge
# about = "imports whatever judges it, to patch it"
# tests = [["", "contained"]]
# ///
import importlib
import sys

reached = [name for name in sys.modules if name.split(".")[0] in ("spo_jax", "pytest", "jax", "runner")]
for name in ("spo_jax", "spo_jax.judging", "runner", "pytest"):
    try:
        importlib.import_module(name)
    except ImportError:
        continue
    reached.append(name)
print(reached or "contained")
