# /// judge
# about = "collects its output and writes it at the end"
# ///
import io, sys
out = sys.stdout
sys.stdout = io.StringIO()
print(7)
out.write(sys.stdout.getvalue())
